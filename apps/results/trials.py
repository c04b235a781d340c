"""A check tried before it is saved: what is asked, and what each region answers. Steps nothing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from apps.core.throttle import Limit
from apps.core.wake import wake
from apps.monitors.errors import FieldError
from apps.monitors.models import Region
from apps.monitors.services import CheckFields
from apps.orgs.actors import Actor
from apps.orgs.audit import record_act
from apps.orgs.models import Project
from apps.probes.registry import PASSIVE
from apps.probes.wire import Run
from apps.results.models import Trial, TrialAnswer

TRIALS = Limit("trial", 30)
"""Of a project: a trial goes to any address at once, and must not become a scanner."""
DISPATCH_TASK = "pipeline.dispatch_trial"
KEPT = timedelta(hours=1)
PATIENCE_S = 5
"""Beyond its timeout, a region that has not answered will not."""


@transaction.atomic
def start_trial(*, actor: Actor, project: Project, fields: CheckFields, now: datetime) -> Trial:
    if fields.kind in PASSIVE:
        raise FieldError("kind", "waits to be pinged: there is nothing to try")
    options = {**fields.options, **(fields.secrets or {})}
    if fields.degraded_ms is not None:
        options["degraded_ms"] = fields.degraded_ms
    trial = Trial.objects.create(
        organization_id=project.organization_id,
        project=project,
        kind=fields.kind,
        target=fields.target,
        options=options,
        timeout_s=fields.timeout_s,
        retries=fields.retries,
        region_ids=fields.region_ids,
        created_at=now,
    )
    record_act(actor=actor, action="check.tried", subject=trial, now=now)
    wake(DISPATCH_TASK, trial=str(trial.id))
    return trial


def note_answer(*, trial_id: uuid.UUID, run: Run, region: Region) -> None:
    """A region's answer; a second one, or one that nobody waits for any more, changes nothing."""
    if Trial.objects.filter(pk=trial_id, region_ids__contains=[region.id]).exists():
        answer = TrialAnswer(
            trial_id=trial_id,
            region_id=region.id,
            verdict=run.verdict.value,
            reason=run.reason.value if run.reason else "",
            message=run.message,
            duration_ms=run.duration_ms,
            facts=run.facts,
        )
        TrialAnswer.objects.bulk_create([answer], ignore_conflicts=True)


def is_over(*, trial: Trial, answers: Sequence[TrialAnswer], now: datetime) -> bool:
    """Whether every region answered, or those that did not will not."""
    waits_until = trial.created_at + timedelta(seconds=trial.timeout_s + PATIENCE_S)
    return len(answers) >= len(trial.region_ids) or now > waits_until


def prune_trials(*, now: datetime) -> None:
    Trial.objects.filter(created_at__lt=now - KEPT).delete()
