"""Processes a signed result message: verifies it, records its runs, evaluates their checks. Idempotent."""

from __future__ import annotations

import logging
import uuid
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from django.db import IntegrityError

from apps.core.clock import DAY_MS, HOUR_MS, to_ms
from apps.core.halving import in_halves
from apps.incidents.services.evaluate import evaluate_with_halving
from apps.incidents.services.fast_path import FreshVote
from apps.monitors.models import Region
from apps.monitors.regions import WorkerReport, record_region_message
from apps.monitors.selectors import regions_of_checks
from apps.probes import wire
from apps.probes.reasons import Verdict
from apps.results.baselines import note_baselines
from apps.results.dead_letters import add_dead_letter
from apps.results.models import DeadLetter
from apps.results.partitions import ensure_partitions
from apps.results.record_runs import RecordedRun, record_runs
from apps.results.trials import note_answer
from apps.telemetry import metrics

log = logging.getLogger(__name__)

OLDEST_MS, NEWEST_MS = DAY_MS, 5_000
_REMEMBERED = 200_000
_REFUSAL_PAUSE = timedelta(minutes=1)
_REGION_KEPT = timedelta(seconds=2)
_HEARD_STEP_MS = 1_000
_FACTS_EVERY_MS = HOUR_MS


@dataclass
class Memory:
    """What a consumer caches between messages; correctness does not depend on it."""

    regions: dict[str, tuple[datetime, Region]] = field(default_factory=dict)
    heard: dict[int, int] = field(default_factory=dict)
    refused: dict[tuple[str, str], datetime] = field(default_factory=dict)
    seen: OrderedDict[tuple[uuid.UUID, int], tuple[int, str, int]] = field(default_factory=OrderedDict)
    """By (check, region): revision, verdict, and the slot whose facts were last stored in full."""

    def region(self, slug: str, now: datetime) -> Region | None:
        """Return a region as it was at most two seconds ago; None if it does not exist."""
        kept = self.regions.get(slug)
        if kept is None or not timedelta(0) <= now - kept[0] < _REGION_KEPT:
            row = Region.objects.filter(slug=slug).first()
            if row is None:
                return None
            kept = self.regions[slug] = (now, row)
        return kept[1]

    def is_news(self, region_id: int, sent_at: int) -> bool:
        """Return whether to record that the region was heard: once a second is enough for a silence of 15 s."""
        before = self.heard.get(region_id)
        if before is not None and 0 <= sent_at - before < _HEARD_STEP_MS:
            return False
        self.heard[region_id] = sent_at
        return True

    def is_first(self, region: str, error: str, now: datetime) -> bool:
        """Return whether this is the first such refusal of a region within a minute."""
        before = self.refused.get((region, error))
        if before is not None and now - before < _REFUSAL_PAUSE:
            return False
        if len(self.refused) > 1_000:
            self.refused.clear()
        self.refused[region, error] = now
        return True

    def keeps(self, run: wire.Run, region_id: int) -> bool:
        """Return whether to store the run's full facts.

        They are stored for runs that are not up or took several attempts, for the first after a change, and hourly.
        """
        key = (run.check, region_id)
        before = self.seen.pop(key, None)
        is_kept = (
            run.verdict != Verdict.UP
            or "attempts" in run.facts
            or before is None
            or before[:2] != (run.revision, run.verdict.value)
            or run.slot - before[2] >= _FACTS_EVERY_MS
        )
        kept_at = run.slot if is_kept or before is None else before[2]
        self.seen[key] = (run.revision, run.verdict.value, kept_at)
        if len(self.seen) > _REMEMBERED:
            self.seen.popitem(last=False)
        return is_kept


def ingest(raw: bytes, *, memory: Memory, now: datetime) -> None:
    """Process one message. Unusable content becomes a dead letter; database outages raise."""
    named = ""
    try:
        envelope = wire.parse_envelope(raw)
        named = envelope.region
        region = _region(envelope, memory, now)
        body = wire.parse_body(envelope.body)
        heartbeat = wire.parse_heartbeat(body.text) if body.type == "heartbeat" else None
        if len(body.rows) > wire.MAX_RUNS:
            raise wire.WireError(f"{len(body.rows)} rows are more than the {wire.MAX_RUNS} that a message may have")
        if body.type == "trial":
            trial_id, run = wire.parse_trial_answer(body.text)
            note_answer(trial_id=trial_id, run=run, region=region)
        elif body.type == "standstill":
            _report_standstill(wire.parse_standstill(body.text), region, now)
    except wire.WireError as error:
        if not isinstance(error, _RefusedError) or memory.is_first(named, str(error), now):
            content = raw.decode("utf-8", "backslashreplace")
            add_dead_letter(origin=DeadLetter.Origin.MESSAGE, error=str(error), content=content, now=now, region=named)
        return
    metrics.QUEUE_LAG.labels("ingest").set(max(0, to_ms(now) - envelope.sent_at) / 1000)
    if heartbeat is not None or memory.is_news(region.id, envelope.sent_at):
        report = None if heartbeat is None else WorkerReport(envelope.worker, envelope.sequence, heartbeat)
        record_region_message(region_id=region.id, sent_at=envelope.sent_at, report=report, now=now)
    runs = _valid_runs(body.rows, region, memory, now)
    if not runs:
        return
    metrics.BATCH_SIZE.observe(len(runs))
    metrics.RUNS_RECORDED.labels(region.slug).inc(len(runs))
    are_new = _record(runs, region, now)
    note_baselines(rows=runs)
    evaluate_with_halving(check_ids=list({row.run.check for row in runs}), now=now, fresh=_fresh(runs) if are_new else None)


class _RefusedError(wire.WireError):
    """All messages of a region are refused: a dead letter for each of them would fill the database."""


def _region(envelope: wire.Envelope, memory: Memory, now: datetime) -> Region:
    region = memory.region(envelope.region, now)
    if region is None or not region.is_enabled:
        raise _RefusedError("the region is not known or not enabled")
    if envelope.key_id != region.key_id or not envelope.is_signed_with(region.key):
        raise _RefusedError("the message is not signed with the region's key")
    return region


def _report_standstill(report: wire.Standstill, region: Region, now: datetime) -> None:
    """Log the job that blocked a worker's event loop, and store it as a dead letter for operators."""
    log.error("region %s: a probe worker's loop stood still, and the worker ended itself", region.slug)
    add_dead_letter(
        origin=DeadLetter.Origin.PROBE,
        error=f"the probe loop stood still for {report.stood_still_s:.0f} s at a run of kind {report.kind or 'unknown'}",
        content=msgspec.json.encode(report).decode(),
        now=now,
        region=region.slug,
        check_id=report.check,
    )


def _valid_runs(rows: Sequence[bytes], region: Region, memory: Memory, now: datetime) -> list[RecordedRun]:
    """Return the rows that may be recorded; each of the others becomes a dead letter."""
    parsed: list[tuple[bytes, wire.Run]] = []
    oldest, newest = to_ms(now) - OLDEST_MS, to_ms(now) + NEWEST_MS
    for row in rows:
        try:
            run = wire.parse_run(row)
            if not oldest <= run.slot <= newest:
                raise wire.WireError(f"slot {run.slot} is not within the last day")
            parsed.append((row, run))
        except wire.WireError as error:
            _refuse_row(row, str(error), region, now)
    owners = regions_of_checks({run.check for _, run in parsed})
    judged = []
    for row, run in parsed:
        if region.id in owners.get(run.check, ()):
            judged.append(RecordedRun(run, region.id, memory.keeps(run, region.id)))
        elif run.check not in owners:
            _refuse_row(row, "the check is not known", region, now)
        else:
            _refuse_row(row, "the check does not belong to this region", region, now)
    return judged


def _record(rows: list[RecordedRun], region: Region, now: datetime) -> bool:
    """Record all rows together; return whether all were new. One that cannot be stored becomes a dead letter."""
    new: list[int] = []
    in_halves(
        rows,
        lambda part: new.append(_store(part, now)),
        lambda row, error: _refuse_row(wire.encode_run(row.run), f"the database refused it: {error}", region, now),
    )
    return new == [len(rows)]


def _store(rows: Sequence[RecordedRun], now: datetime) -> int:
    try:
        return record_runs(rows=rows, now_ms=to_ms(now))
    except IntegrityError:
        if not ensure_partitions(now=now):  # the host was suspended for longer than partitions are made ahead
            raise
        return record_runs(rows=rows, now_ms=to_ms(now))


def _fresh(rows: Sequence[RecordedRun]) -> dict[uuid.UUID, FreshVote]:
    """Return the votes of checks with a single row, for the fast path; of the others, all votes must be read.

    All rows must be new.
    """
    votes = {row.run.check: FreshVote(row.run.slot, row.region_id, row.run.revision, row.run.verdict.value) for row in rows}
    if len(votes) < len(rows):
        several = Counter(row.run.check for row in rows)
        return {check: vote for check, vote in votes.items() if several[check] == 1}
    return votes


def _refuse_row(row: bytes, error: str, region: Region, now: datetime) -> None:
    content = row.decode("utf-8", "backslashreplace")
    add_dead_letter(origin=DeadLetter.Origin.ROW, error=error, content=content, now=now, region=region.slug)
