"""Reprocessing of dead letters, as if they had just arrived. What fails again stays a dead letter."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from apps.core.clock import from_ms, to_ms
from apps.incidents.services.evaluate import evaluate_with_halving
from apps.monitors.models import Check, Region
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.results.models import DeadLetter
from apps.results.partitions import ensure_days
from apps.results.record_runs import RecordedRun, record_runs


class _FailedAgainError(Exception):
    """The attempt failed. It is rolled back, together with any new dead letter, and the old one stays."""


def requeue(*, dead_letter: DeadLetter, now: datetime) -> bool:
    """Process a dead letter again and delete it. Returns False, and keeps it, if it fails again."""
    work = {DeadLetter.Origin.EVALUATION: _evaluate, DeadLetter.Origin.ROW: _record}.get(
        DeadLetter.Origin(dead_letter.origin), _ingest
    )
    newest = DeadLetter.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    try:
        with transaction.atomic():
            work(dead_letter, now)
            again = DeadLetter.objects.filter(
                pk__gt=newest, origin=dead_letter.origin, check_id=dead_letter.check_id, content=dead_letter.content
            )
            if again.exists():
                raise _FailedAgainError
            dead_letter.delete()
    except _FailedAgainError:
        return False
    return True


def _evaluate(dead_letter: DeadLetter, now: datetime) -> None:
    if dead_letter.check_id is None:
        raise _FailedAgainError
    # A recent dead letter of the check would suppress a new one, by which `requeue` sees that it failed again.
    DeadLetter.objects.filter(origin=dead_letter.origin, check_id=dead_letter.check_id).delete()
    evaluate_with_halving(check_ids=[dead_letter.check_id], now=now)


def _record(dead_letter: DeadLetter, now: datetime) -> None:
    """Record one run of a region, judged as ingest does except for its age. Raises _FailedAgainError."""
    region = Region.objects.filter(slug=dead_letter.region).first()
    try:
        run = wire.parse_run(dead_letter.content.encode())
    except wire.WireError as error:
        raise _FailedAgainError from error
    check = Check.objects.filter(pk=run.check).first()
    if region is None or check is None or region.pk not in check.region_ids or run.slot > to_ms(now):
        raise _FailedAgainError
    if run.slot < to_ms(now - timedelta(days=check.project.retention_days)):
        raise _FailedAgainError  # other runs of its hour are deleted: the rollup would count this one alone
    ensure_days(first=from_ms(run.slot), days=1)  # the day may be packed and dropped; packing again merges
    record_runs(rows=[RecordedRun(run, region.pk, keeps_facts=True)], now_ms=to_ms(now))
    evaluate_with_halving(check_ids=[run.check], now=now)


def _ingest(dead_letter: DeadLetter, now: datetime) -> None:
    ingest(dead_letter.content.encode(), memory=Memory(), now=now)
