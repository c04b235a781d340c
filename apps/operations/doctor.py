"""Diagnosis of the installation: turns `Figures` into findings, each with advice. No database access."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from apps.operations.figures import Figures, RegionFigures

_SLOW_MS = 20.0
_LATE_S = 30.0
_BATCHES_MANY = 30
_DAYS_KEPT = 4


@dataclass(frozen=True)
class Finding:
    level: Literal["bad", "warn"]
    what: str
    advice: str


def findings(seen: Figures) -> list[Finding]:
    """Return what is wrong, `bad` findings first; empty if nothing is."""
    found = [*_dispatch(seen), *_queues(seen), *_regions(seen), *_telling(seen), *_storage(seen)]
    return sorted(found, key=lambda finding: finding.level != "bad")


def _dispatch(seen: Figures) -> Iterator[Finding]:
    if seen.dispatch_behind_s is None:
        yield Finding("bad", "No slot was ever sent.", "Start beat and the worker of the queue tick.")
    elif seen.dispatch_behind_s > 5:
        where = "the worker of the queue tick is behind or gone" if seen.queues["tick"] else "beat does not run"
        yield Finding(
            "bad",
            f"No slots have been sent for {seen.dispatch_behind_s:.0f} s: {where}.",
            "Start beat and tick, read their logs.",
        )


def _queues(seen: Figures) -> Iterator[Finding]:
    if all(length is None for length in seen.queues.values()):
        yield Finding("bad", "The broker does not answer.", "Start it; results wait in the workers' memory meanwhile.")
        return
    waiting = seen.queues["ingest"] or 0
    if waiting > _BATCHES_MANY:
        slow = f", and the database is slow ({seen.database_ms:.0f} ms a round trip)" if seen.database_ms > _SLOW_MS else ""
        yield Finding(
            "bad",
            f"{waiting} messages with results wait to be taken{slow}.",
            "Start another `manage.py ingest`, or a faster database.",
        )
    late = {"core": "sweeps come late", "notify": "messages to people come late", "upkeep": "rollups and packing come late"}
    for name, cure in late.items():
        if (seen.queues[name] or 0) > _BATCHES_MANY:
            yield Finding(
                "warn", f"{seen.queues[name]} tasks wait in the queue {name}: {cure}.", f"Start another worker with -Q {name}."
            )


def _regions(seen: Figures) -> Iterator[Finding]:
    if not seen.regions:
        yield Finding("bad", "There is no region to probe from.", "manage.py region add SLUG")
    for region in seen.regions:
        yield from _region(region)


def _region(region: RegionFigures) -> Iterator[Finding]:
    if not region.is_live:
        yield Finding(
            "bad", f"The region {region.slug} is silent.", "Start a probe worker of it, read its log, try its broker address."
        )
    if region.drops_lately:
        why = f"its loop lags {region.lag_ms} ms" if region.lag_ms > 200 else f"{region.in_flight} runs are under way"
        yield Finding(
            "bad",
            f"The region {region.slug} cannot keep up: slots were dropped in the last minute ({why}, {region.workers} workers).",
            "Start another probe worker of it, on a core of its own.",
        )
    elif (region.waiting or 0) > _BATCHES_MANY:
        yield Finding("warn", f"{region.waiting} batches wait for the region {region.slug}.", "Start another probe worker of it.")
    if abs(region.offset_ms) > 1_000:
        yield Finding(
            "warn", f"The clock of {region.slug} is off by {region.offset_ms / 1000:+.1f} s.", "Let its machine keep the time."
        )


def _telling(seen: Figures) -> Iterator[Finding]:
    if (seen.oldest_event_s or 0) > _LATE_S:
        words = f"{seen.outbox} events wait to be told, the oldest for {seen.oldest_event_s:.0f} s."
        yield Finding("bad", words, "Start the worker of the queue core, read its log.")
    if (seen.oldest_delivery_s or 0) > _LATE_S:
        words = f"{seen.due_deliveries} deliveries are due, the oldest for {seen.oldest_delivery_s:.0f} s."
        yield Finding("bad", words, "Start another worker with -Q notify, or look at the channel that holds them.")
    if seen.failed_by_ourselves:
        words = f"{seen.failed_by_ourselves} deliveries of the last hour failed in our own code."
        yield Finding("bad", words, "Read the log of the worker of the queue notify: it has the traceback.")
    for region in seen.regions:
        if region.faults:
            words = f"{region.faults} runs of region {region.slug} failed in our own code since its workers started."
            yield Finding("bad", words, "Read the log of the region's worker: it has the traceback.")
    if seen.dead_letters:
        counts = ", ".join(f"{count} of {origin}" for origin, count in sorted(seen.dead_letters.items()))
        age = f", the oldest {seen.oldest_dead_letter_s / 3600:.0f} h old" if seen.oldest_dead_letter_s else ""
        yield Finding(
            "warn", f"There are dead letters: {counts}{age}.", "Read them in the admin: put them back to work, or delete them."
        )


def _storage(seen: Figures) -> Iterator[Finding]:
    if seen.database_ms > _SLOW_MS:
        yield Finding(
            "warn", f"The database takes {seen.database_ms:.0f} ms for nothing at all.", "Look at its load and at the way to it."
        )
    if seen.partition_days_ahead < 1:
        yield Finding(
            "bad", "There is no partition for tomorrow's runs.", "Start the worker of the queue upkeep: it makes them hourly."
        )
    if (seen.rolled_up_behind_s or 0) > 3 * 3_600:
        hours = (seen.rolled_up_behind_s or 0) / 3_600
        yield Finding("warn", f"Rollups are {hours:.0f} h behind.", "Start a worker with -Q upkeep, read its log.")
    if seen.oldest_partition_days > _DAYS_KEPT:
        yield Finding(
            "warn",
            f"Runs of {seen.oldest_partition_days} days ago are not packed.",
            "Start a worker with -Q upkeep, read its log.",
        )
