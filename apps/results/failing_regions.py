"""Tells from which regions a check fails now, regardless of the check's overall status. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol


class RegionalRun(Protocol):
    @property
    def slot(self) -> int: ...
    @property
    def region_id(self) -> int: ...
    @property
    def verdict(self) -> str: ...


_ROUNDS = 2
"""A region whose last run is more than this many intervals older than the newest run is left out."""


def failing_regions(runs: Sequence[RegionalRun], *, region_ids: Collection[int], interval_ms: int) -> list[int]:
    """Return the ids of the regions whose latest recent run is down, in order. `runs` are ordered oldest first."""
    if not runs:
        return []
    since = runs[-1].slot - _ROUNDS * interval_ms
    last = {run.region_id: run.verdict for run in runs if run.slot >= since and run.region_id in region_ids}
    return sorted(region for region, verdict in last.items() if verdict == "down")
