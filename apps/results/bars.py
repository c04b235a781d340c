"""Bars of history: a time range in equal cells, and how long each state held in each cell. Pure; used by all pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.results.uptime import WORST_FIRST, Span, Uptime, clip

Cell = Mapping[str, int]
"""Milliseconds by state; empty where nothing is known, as before the creation of a check."""


@dataclass(frozen=True)
class Bar:
    """Cells of `width` ms each, the first of which begins at `start` (epoch ms)."""

    start: int
    width: int
    cells: Sequence[Cell]

    def uptime(self, index: int) -> Uptime:
        """Return the milliseconds per state of one cell."""
        begin = self.start + index * self.width
        return Uptime(begin, begin + self.width, **self.cells[index])

    def worst(self, index: int) -> str | None:
        """Return the worst state that held in a cell, however short; None if nothing is known."""
        return next((state for state in WORST_FIRST if state in self.cells[index]), None)


def bar_of(spans: Sequence[Span], *, start: int, width: int, count: int) -> Bar:
    """Distribute spans over `count` cells that begin at `start`. The spans must not overlap."""
    cells: list[dict[str, int]] = [{} for _ in range(count)]
    for span in clip(spans, start, start + width * count):
        first, last = (span.start - start) // width, (span.end - 1 - start) // width
        for index in range(first, last + 1):
            begin = start + index * width
            part = min(span.end, begin + width) - max(span.start, begin)
            cells[index][span.state] = cells[index].get(span.state, 0) + part
    return Bar(start, width, cells)
