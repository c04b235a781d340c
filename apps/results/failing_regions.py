"""From where a check fails now, whatever its regions decide together. Pure."""

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
"""A region that missed this many rounds says nothing of now."""


def failing_regions(runs: Sequence[RegionalRun], *, region_ids: Collection[int], interval_ms: int) -> list[int]:
    """The regions of a check whose last run of the newest rounds is down, in the order of their ids; `runs`: the oldest first."""
    if not runs:
        return []
    since = runs[-1].slot - _ROUNDS * interval_ms
    last = {run.region_id: run.verdict for run in runs if run.slot >= since and run.region_id in region_ids}
    return sorted(region for region, verdict in last.items() if verdict == "down")
