"""A dead letter is worked on again, as if it had just arrived. What fails again is a letter again."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from apps.core.clock import from_ms, to_ms
from apps.incidents.services.evaluate import evaluate_apart
from apps.monitors.models import Check, Region
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.results.models import DeadLetter
from apps.results.partitions import ensure_days
from apps.results.services import RecordedRun, record_runs


class _FailedAgainError(Exception):
    """Everything of this attempt is rolled back, the new letter too: the old one says it."""


def requeue(*, letter: DeadLetter, now: datetime) -> bool:
    """Whether it could be worked on this time; then the letter is gone."""
    work = {DeadLetter.Origin.EVALUATION: _evaluate, DeadLetter.Origin.ROW: _record}.get(
        DeadLetter.Origin(letter.origin), _ingest
    )
    newest = DeadLetter.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    try:
        with transaction.atomic():
            work(letter, now)
            again = DeadLetter.objects.filter(
                pk__gt=newest, origin=letter.origin, check_id=letter.check_id, content=letter.content
            )
            if again.exists():
                raise _FailedAgainError
            letter.delete()
    except _FailedAgainError:
        return False
    return True


def _evaluate(letter: DeadLetter, now: datetime) -> None:
    if letter.check_id is None:
        raise _FailedAgainError
    # One that is there would keep a new one from being written.
    DeadLetter.objects.filter(origin=letter.origin, check_id=letter.check_id).delete()
    evaluate_apart(check_ids=[letter.check_id], now=now)


def _record(letter: DeadLetter, now: datetime) -> None:
    """One row of a region, judged as when it came, but for its age: the operator knows that it is late."""
    region = Region.objects.filter(slug=letter.region).first()
    try:
        run = wire.parse_run(letter.content.encode())
    except wire.WireError as error:
        raise _FailedAgainError from error
    check = Check.objects.filter(pk=run.check).first()
    if region is None or check is None or region.pk not in check.region_ids or run.slot > to_ms(now):
        raise _FailedAgainError
    if run.slot < to_ms(now - timedelta(days=check.project.retention_days)):
        raise _FailedAgainError  # the others of its hour are gone: it would be all that the rollups know
    ensure_days(first=from_ms(run.slot), days=1)  # its day may be packed: it joins it
    record_runs(rows=[RecordedRun(run, region.pk, keeps_facts=True)], now_ms=to_ms(now))
    evaluate_apart(check_ids=[run.check], now=now)


def _ingest(letter: DeadLetter, now: datetime) -> None:
    ingest(letter.content.encode(), memory=Memory(), now=now)
