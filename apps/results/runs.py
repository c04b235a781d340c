"""Reads of runs in both forms: rows for the last days, packed for older ones. A day being packed may be in both."""

from __future__ import annotations

import heapq
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from apps.core.clock import DAY_MS, to_ms
from apps.results.models import VERDICTS, CheckRun, PackedRuns
from apps.results.packing import StoredRun, unpack

_ROWS = 8
"""Number of packed rows read at a time."""
HOT_DAYS = 2
"""Number of days before today whose runs are certainly still rows."""


@dataclass(frozen=True)
class RunQuery:
    """A query for runs of a check with a slot in [start, end), optionally of one verdict or of some regions."""

    check_id: uuid.UUID
    start: int
    end: int
    verdict: str | None = None
    region_ids: tuple[int, ...] | None = None


def runs_within(asked: RunQuery, *, limit: int, is_newest_first: bool = True) -> list[CheckRun]:
    """Return at most `limit` runs, newest slot first and then by region, or in exactly the reverse order."""
    sign = "-" if is_newest_first else ""
    rows = CheckRun.objects.filter(check_id=asked.check_id, slot__gte=asked.start, slot__lt=asked.end)
    if asked.verdict is not None:
        rows = rows.filter(verdict=VERDICTS.index(asked.verdict))
    if asked.region_ids is not None:
        rows = rows.filter(region_id__in=asked.region_ids)
    hot = list(rows.order_by(f"{sign}slot", "region_id" if is_newest_first else "-region_id")[:limit])
    if is_newest_first and len(hot) == limit:
        return hot
    found: dict[tuple[int, int], CheckRun] = {(run.slot, run.region_id): run for run in hot}
    for region_id, packed in packed_runs(asked, limit=limit, is_newest_first=is_newest_first):
        if (packed.slot, region_id) not in found:
            found[packed.slot, region_id] = as_row(packed, asked.check_id, region_id)
    order = sorted(found, key=lambda key: (-key[0], key[1]), reverse=not is_newest_first)
    return [found[key] for key in order[:limit]]


def packed_runs(asked: RunQuery, *, limit: int = 2**62, is_newest_first: bool = True) -> Iterator[tuple[int, StoredRun]]:
    """Yield (region id, run) of packed runs: all that can be among the first `limit` by slot, and some more."""
    wanted = None if asked.verdict is None else VERDICTS.index(asked.verdict)
    # A packed row holds at most the day that begins at its start.
    rows = PackedRuns.objects.filter(
        check_id=asked.check_id, start__gt=asked.start - DAY_MS, start__lt=asked.end, last__gte=asked.start
    )
    if asked.region_ids is not None:
        rows = rows.filter(region_id__in=asked.region_ids)
    if wanted is not None:
        rows = rows.extra(where=["verdicts & %s <> 0"], params=[1 << wanted])
    order, offset = ("-last" if is_newest_first else "start", "region_id", "start"), 0
    slots: list[int] = []
    while some := list(rows.order_by(*order)[offset : offset + _ROWS]):
        offset += len(some)
        for row in some:
            if len(slots) >= limit:
                # Rows of different regions cover different spans: stop only when all remaining ones lie beyond the
                # limit.
                edge = heapq.nlargest(limit, slots)[-1] if is_newest_first else heapq.nsmallest(limit, slots)[-1]
                if row.last < edge if is_newest_first else row.start > edge:
                    return
            for run in unpack(bytes(row.data)):
                if asked.start <= run.slot < asked.end and wanted in (None, run.verdict):
                    slots.append(run.slot)
                    yield row.region_id, run


def as_row(run: StoredRun, check_id: uuid.UUID, region_id: int) -> CheckRun:
    """Return the run as a CheckRun instance for readers; it is never saved."""
    names = {name: getattr(run, name) for name in StoredRun.__slots__ if name != "facts"}
    facts = None if run.facts is None else json.loads(run.facts)
    return CheckRun(check_id=check_id, region_id=region_id, facts=facts, **names)


def newest_packed(*, check_id: uuid.UUID, after: int, count: int) -> list[CheckRun]:
    """Return the newest packed runs of a check, newest first; for checks that run rarely."""
    asked = RunQuery(check_id, after + 1, 2**62)
    newest = heapq.nlargest(count, packed_runs(asked, limit=count), key=lambda found: found[1].slot)
    return [as_row(run, check_id, region_id) for region_id, run in newest]


@dataclass(frozen=True)
class RunPage:
    """A page of whole rounds, newest first. `before` is where the next page starts, None on the last page."""

    runs: list[CheckRun]
    before: int | None


def run_page(*, check_id: uuid.UUID, before: int, since: int, verdict: str | None, limit: int) -> RunPage:
    """Return a page of a check's runs older than `before`.

    With a verdict, at most a week is searched per page, so that a page may be short or empty.
    """
    start = since if verdict is None else max(since, before - 7 * DAY_MS)
    found = runs_within(RunQuery(check_id, start, before, verdict), limit=limit)
    if len(found) == limit and found[0].slot != found[-1].slot:
        last = found[-1].slot
        found = [run for run in found if run.slot != last]  # the next page has its whole round
    if len(found) >= limit // 2:
        return RunPage(found, found[-1].slot)
    return RunPage(found, start if start > since else None)


def runs_around(*, check_id: uuid.UUID, at: datetime) -> list[CheckRun]:
    """Return the runs of all regions of the slot at a moment, as of the first failing round."""
    slot = to_ms(at)
    return runs_within(RunQuery(check_id, slot, slot + 1), limit=1_000)
