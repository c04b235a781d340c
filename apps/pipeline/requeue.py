"""A dead letter is worked on again, as if it had just arrived. What fails again is a letter again."""

from __future__ import annotations

import json
from datetime import datetime

from django.db import transaction

from apps.core.clock import to_ms
from apps.incidents.services.evaluate import evaluate_apart
from apps.monitors.models import Check, Region
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.results.models import DeadLetter
from apps.results.services import RecordedRun, record_runs


def requeue(*, letter: DeadLetter, now: datetime) -> bool:
    """Whether it could be worked on this time; then the letter is gone."""
    match letter.origin:
        case DeadLetter.Origin.EVALUATION:
            is_done = _evaluate(letter, now)
        case DeadLetter.Origin.ROW:
            is_done = _record(letter, now)
        case _:
            is_done = _ingest(letter, now)
    if is_done:
        letter.delete()
    return is_done


def _evaluate(letter: DeadLetter, now: datetime) -> bool:
    if letter.check_id is None:
        return False
    evaluate_apart(check_ids=[letter.check_id], now=now)
    return not DeadLetter.objects.filter(check_id=letter.check_id, created_at__gte=now).exists()


@transaction.atomic
def _record(letter: DeadLetter, now: datetime) -> bool:
    """One row of a region, judged as when it came, but for its age: the operator knows that it is late."""
    region = Region.objects.filter(slug=letter.region).first()
    try:
        run = wire.parse_run(json.loads(letter.content))
    except (wire.WireError, ValueError):
        return False
    check = Check.objects.filter(pk=run.check).first()
    if region is None or check is None or region.pk not in check.region_ids or run.slot > to_ms(now):
        return False
    record_runs(rows=[RecordedRun(run, region.pk, keeps_facts=True)], now_ms=to_ms(now))
    evaluate_apart(check_ids=[run.check], now=now)
    return True


def _ingest(letter: DeadLetter, now: datetime) -> bool:
    before = DeadLetter.objects.count()
    ingest(letter.content, memory=Memory(), now=now)
    return DeadLetter.objects.count() == before
