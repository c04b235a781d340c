from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from apps.monitors.liveness import SILENCE_MS, Liveness


def after(*moments: int) -> Liveness:
    life = Liveness()
    for moment in moments:
        life = life.heard(moment)
    return life


def test_a_region_is_live_for_fifteen_seconds_after_its_last_message() -> None:
    life = after(100_000)
    assert [life.is_live(slot) for slot in (50_000, 115_000, 115_001)] == [True, True, False]
    assert not Liveness().is_live(0)


def test_its_return_does_not_rewrite_the_past() -> None:
    life = after(100_000, 200_000)
    assert [life.is_live(slot) for slot in (100_000, 115_000, 115_001, 199_999, 200_000)] == [True, True, False, False, True]


def test_a_message_that_arrives_late_shortens_the_silence() -> None:
    life = after(100_000, 200_000, 110_000)
    assert [life.is_live(slot) for slot in (120_000, 126_000)] == [True, False]
    assert after(100_000, 120_000, 110_000) == Liveness(120_000)


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=30))
def test_the_newest_message_never_goes_back(moments: list[int]) -> None:
    life = after(*moments)
    assert life.last_sent == max(moments)
    assert life.silent_from is None or (life.silent_until or 0) - life.silent_from > SILENCE_MS
