"""Uptime arithmetic, pure: from spans to milliseconds per state. Uptime is never computed from numbers of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A span of time [start, end) in one state; epoch ms."""

    start: int
    end: int
    state: str


STATES = ("up", "degraded", "down", "unknown", "paused", "maintenance")


@dataclass(frozen=True)
class Uptime:
    """Milliseconds of each state between `start` and `end`."""

    start: int
    end: int
    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    paused: int = 0
    maintenance: int = 0

    @property
    def seen(self) -> int:
        """Return the milliseconds that it was up, degraded or down: the denominator of the ratio."""
        return self.up + self.degraded + self.down

    @property
    def ratio(self) -> float | None:
        """Return (up + degraded) / (up + degraded + down), or None if that sum is 0."""
        return (self.up + self.degraded) / self.seen if self.seen else None


def clip(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """Return the parts of the spans inside [start, end)."""
    return [Span(max(s.start, start), min(s.end, end), s.state) for s in spans if s.start < end and s.end > start]


def overlay(spans: Sequence[Span], tops: Sequence[Span]) -> list[Span]:
    """Return the spans overlaid with `tops` (ordered, without overlap), whose state wins."""
    if not spans:
        return list(tops)
    shown: list[Span] = list(tops)
    for span in spans:
        at = span.start
        for top in tops:
            if top.end <= at or top.start >= span.end:
                continue
            if top.start > at:
                shown.append(Span(at, top.start, span.state))
            at = max(at, top.end)
        if at < span.end:
            shown.append(Span(at, span.end, span.state))
    return merge(sorted(shown, key=lambda s: s.start))


def merge(spans: Iterable[Span]) -> list[Span]:
    """Join adjacent spans in the same state."""
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].state == span.state and merged[-1].end == span.start:
            merged[-1] = Span(merged[-1].start, span.end, span.state)
        else:
            merged.append(span)
    return merged


def add_up(spans: Iterable[Span], start: int, end: int) -> Uptime:
    """Sum the milliseconds per state over [start, end)."""
    sums = dict.fromkeys(STATES, 0)
    for span in clip(spans, start, end):
        sums[span.state] += span.end - span.start
    return Uptime(start, end, **sums)


def summed(parts: Sequence[Uptime]) -> Uptime:
    """Return the sum of several uptimes, from the earliest start to the latest end."""
    sums = {name: sum(getattr(part, name) for part in parts) for name in STATES}
    return Uptime(min(part.start for part in parts), max(part.end for part in parts), **sums)


WORST_FIRST = ("down", "degraded", "unknown", "maintenance", "up", "paused")
"""As statuses are ranked: a group of which one member is not seen is not known to be up."""


def worst_of(several: Sequence[Sequence[Span]]) -> list[Span]:
    """Return the state of a group over time: at every moment the worst state of its members."""
    if len(several) == 1:
        return list(several[0])
    turns = sorted(
        (at, change, span.state) for spans in several for span in spans for at, change in ((span.start, 1), (span.end, -1))
    )
    counts = dict.fromkeys(WORST_FIRST, 0)
    found: list[Span] = []
    before = 0
    for at, change, state in turns:
        shown = next((name for name in WORST_FIRST if counts[name]), None)
        if shown is not None and at > before:
            found.append(Span(before, at, shown))
        counts[state] += change
        before = at
    return merge(found)
