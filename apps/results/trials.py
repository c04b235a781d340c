"""Trials: test runs of a check before it is saved, with one answer per region. They do not affect any state."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from apps.core.errors import FieldError
from apps.core.throttle import Limit
from apps.core.wake import wake
from apps.monitors.check_spec import CheckFields
from apps.monitors.models import Region
from apps.orgs.actors import Actor
from apps.orgs.audit import record_audit_entry
from apps.orgs.models import Project
from apps.probes.contract import probe_options
from apps.probes.registry import PASSIVE
from apps.probes.wire import Run
from apps.results.models import Trial, TrialAnswer

TRIALS = Limit("trial", 30)
"""Limit per project: a trial probes any address at once, and must not serve as a port scanner."""
DISPATCH_TASK = "pipeline.dispatch_trial"
KEPT = timedelta(hours=1)
PATIENCE_S = 5
"""Seconds after the timeout until a region without an answer is given up."""


@transaction.atomic
def start_trial(*, actor: Actor, project: Project, fields: CheckFields, now: datetime) -> Trial:
    """Create a trial and dispatch it to its regions. Raises FieldError for a passive kind."""
    if fields.kind in PASSIVE:
        raise FieldError("kind", "waits to be pinged: there is nothing to try")
    trial = Trial.objects.create(
        organization_id=project.organization_id,
        project=project,
        kind=fields.kind,
        target=fields.target,
        options=probe_options({**fields.options, **(fields.secrets or {})}, fields.degraded_ms),
        timeout_s=fields.timeout_s,
        retries=fields.retries,
        region_ids=fields.region_ids,
        created_at=now,
    )
    record_audit_entry(actor=actor, action="check.tried", subject=trial, now=now)
    wake(DISPATCH_TASK, trial=str(trial.id))
    return trial


def note_answer(*, trial_id: uuid.UUID, run: Run, region: Region) -> None:
    """Store a region's answer. A second one is ignored, as is one to a trial that is gone or did not ask the region."""
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
    """Return whether every region has answered, or the time to answer has passed."""
    waits_until = trial.created_at + timedelta(seconds=trial.timeout_s + PATIENCE_S)
    return len(answers) >= len(trial.region_ids) or now > waits_until


def prune_trials(*, now: datetime) -> None:
    Trial.objects.filter(created_at__lt=now - KEPT).delete()
