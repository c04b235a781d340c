from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from apps.results.uptime import Span, Uptime, add_up, clip, merge, overlay

STATES = st.sampled_from(["up", "degraded", "down", "unknown"])


def test_the_ratio_leaves_out_what_nobody_saw() -> None:
    assert Uptime(0, 100, up=60, degraded=20, down=20, unknown=900).ratio == 0.8
    assert Uptime(0, 100, unknown=100).ratio is None


def test_a_pause_lies_over_what_was_shown() -> None:
    spans = [Span(0, 10, "up"), Span(10, 20, "unknown"), Span(20, 30, "up")]
    assert overlay(spans, [Span(8, 22, "paused")]) == [Span(0, 8, "up"), Span(8, 22, "paused"), Span(22, 30, "up")]
    assert overlay([], [Span(1, 2, "paused")]) == [Span(1, 2, "paused")]


@given(
    st.lists(st.tuples(st.integers(1, 50), STATES), max_size=20),
    st.lists(st.integers(0, 400), min_size=0, max_size=8, unique=True),
    st.integers(0, 300),
    st.integers(1, 300),
)
def test_sums_add_up_to_the_span_whatever_lies_over_it(
    parts: list[tuple[int, str]], edges: list[int], start: int, length: int
) -> None:
    spans, at = [], 0
    for size, state in parts:
        spans.append(Span(at, at + size, state))
        at += size
    ordered = sorted(edges)
    tops = [Span(a, b, "paused") for a, b in zip(ordered[::2], ordered[1::2], strict=False)]
    covered = overlay(spans, tops)
    assert all(before.end <= later.start for before, later in pairwise(covered))
    sums = add_up(covered, start, start + length)
    total = sums.up + sums.degraded + sums.down + sums.unknown + sums.paused
    assert total == sum(span.end - span.start for span in clip(covered, start, start + length))
    assert sums.paused == sum(span.end - span.start for span in clip(tops, start, start + length))
    assert merge(covered) == covered
