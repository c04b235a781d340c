"""Uptime arithmetic, pure: spans in milliseconds to seconds of each state. A percentage of runs is never taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """[start, end) in one state."""

    start: int
    end: int
    state: str


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
    def ratio(self) -> float | None:
        """(up + degraded) / (up + degraded + down); None when nothing of it was seen."""
        good = self.up + self.degraded
        seen = good + self.down
        return good / seen if seen else None


def clip(spans: Iterable[Span], start: int, end: int) -> list[Span]:
    """The parts of the spans inside [start, end)."""
    return [Span(max(s.start, start), min(s.end, end), s.state) for s in spans if s.start < end and s.end > start]


def overlay(spans: Sequence[Span], tops: Sequence[Span]) -> list[Span]:
    """`tops` (ordered, without overlap) laid over the spans: where they are, theirs is the state."""
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
    """Neighbours in the same state as one span."""
    merged: list[Span] = []
    for span in spans:
        if merged and merged[-1].state == span.state and merged[-1].end == span.start:
            merged[-1] = Span(merged[-1].start, span.end, span.state)
        else:
            merged.append(span)
    return merged


def add_up(spans: Iterable[Span], start: int, end: int) -> Uptime:
    """Sums over [start, end)."""
    sums = dict.fromkeys(("up", "degraded", "down", "unknown", "paused", "maintenance"), 0)
    for span in clip(spans, start, end):
        sums[span.state] += span.end - span.start
    return Uptime(start, end, **sums)
