from __future__ import annotations

from apps.results.bars import bar_of
from apps.results.uptime import Span


def test_a_cell_holds_how_long_each_state_lasted_in_it() -> None:
    spans = [Span(5, 12, "up"), Span(12, 13, "down"), Span(13, 30, "up")]
    bar = bar_of(spans, start=0, width=10, count=4)
    assert bar.cells == [{"up": 5}, {"up": 9, "down": 1}, {"up": 10}, {}]
    assert [bar.worst(index) for index in range(4)] == ["up", "down", "up", None]
    assert bar.uptime(1).ratio == 0.9
    assert bar.uptime(3).ratio is None


def test_time_that_nobody_saw_is_in_the_cell_beside_what_was_seen() -> None:
    bar = bar_of([Span(0, 4, "up"), Span(4, 20, "unknown")], start=0, width=10, count=2)
    assert bar.cells == [{"up": 4, "unknown": 6}, {"unknown": 10}]
    assert bar.worst(0) == "unknown", "what was not seen is not known to have been up"
    assert bar.uptime(0).seen == 4
