from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard.forms.durations import parse_duration, span_exactly


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90", 90), ("90 s", 90), ("5 min", 300), ("5m", 300), ("1 h 30 min", 5_400), ("1h30m", 5_400), ("2 days", 172_800),
        ("1 Week", 604_800), ("3,600", None), ("1 000", None), ("1,5 h", None), ("1.5 h", None), ("-5", None), ("", None),
        ("soon", None), ("5 min soon", None), ("1 h 30", None), ("٣ min", None),
    ],
)  # fmt: skip
def test_a_length_of_time_means_what_it_says_or_is_refused(typed: str, seconds: int | None) -> None:
    assert parse_duration(typed) == seconds


@given(st.integers(1, 31_536_000))
def test_what_is_shown_means_what_was_saved(seconds: int) -> None:
    assert parse_duration(span_exactly(seconds)) == seconds
