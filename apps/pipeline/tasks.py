"""The Celery tasks: each reads the clock, calls a service and sends follow-up tasks."""

from __future__ import annotations

import uuid

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from apps.core.clock import to_ms
from apps.core.wake import wake
from apps.incidents.services import apply_events, check_commands
from apps.incidents.services.deadlines import settle_deadlines
from apps.incidents.services.evaluate import evaluate_with_halving, unevaluated_checks
from apps.incidents.services.settled_days import sum_settled_days
from apps.monitors.due_checks import due_now
from apps.notifications.services import addresses, deliveries, outbox
from apps.orgs import password_reset
from apps.pipeline import dispatch
from apps.results import packer, retention, rollups, trials
from apps.results.dead_letters import prune_dead_letters
from apps.results.models import Trial
from apps.results.partitions import ensure_partitions, rebuild_closed_indexes
from apps.results.rollups import prune_rollups
from apps.telemetry.metrics import DELIVERIES


@shared_task(name="pipeline.tick")
def tick(**_newer: object) -> None:
    """Send the slots that come due. Runs every second."""
    dispatch.send_due(now=timezone.now())


@shared_task(name=check_commands.DISPATCH_TASK)
def dispatch_extra(*, check: str, revision: int, slot: int, **_newer: object) -> None:
    """Send an extra slot now."""
    due = due_now(check_id=uuid.UUID(check), revision=revision, slot=slot)
    if due is not None:
        dispatch.send([due], now_ms=to_ms(timezone.now()))


@shared_task(name=trials.DISPATCH_TASK)
def dispatch_trial(*, trial: str, **_newer: object) -> None:
    """Send a trial now."""
    found = Trial.objects.filter(pk=uuid.UUID(trial)).first()
    if found is not None:
        dispatch.send_trial(found, now_ms=to_ms(timezone.now()))


@shared_task(name="pipeline.sweep_checks")
def sweep_checks(**_newer: object) -> None:
    """Evaluate checks that have votes but were not evaluated with a batch."""
    now = timezone.now()
    check_ids = unevaluated_checks(now=now)
    if check_ids:
        evaluate_with_halving(check_ids=check_ids, now=now)


@shared_task(name="pipeline.sweep_passive")
def sweep_passive(**_newer: object) -> None:
    """Settle missed deadlines of passive checks. Runs every second."""
    settle_deadlines(now=timezone.now())


@shared_task(name=apply_events.EXPAND_TASK)
def expand(**_newer: object) -> None:
    """Expand outbox events into deliveries."""
    outbox.expand_waiting(now=timezone.now())


@shared_task(name=deliveries.DELIVER_TASK)
def deliver(*, delivery: str, **_newer: object) -> None:
    """Attempt one delivery once."""
    outcome = deliveries.deliver(delivery_id=uuid.UUID(delivery), now=timezone.now())
    if outcome is not None:
        DELIVERIES.labels("retry" if outcome == "pending" else str(outcome)).inc()


@shared_task(name=password_reset.RESET_TASK)
def send_password_reset(*, email: str, **_newer: object) -> None:
    """Send the mail with the link to reset a password."""
    password_reset.send_password_reset(email=email)


@shared_task(name=addresses.CONFIRM_TASK)
def send_confirmation(*, address: str, **_newer: object) -> None:
    """Send the mail that asks an address for its consent."""
    addresses.send_confirmation(address_id=uuid.UUID(address), now=timezone.now())


@shared_task(name="pipeline.sweep_deliveries")
def sweep_deliveries(**_newer: object) -> None:
    """Handle what a lost wake-up left: events not expanded, deliveries and confirmations not sent."""
    now = timezone.now()
    outbox.expand_waiting(now=now)
    for delivery_id in deliveries.take_unqueued_deliveries(now=now):
        wake(deliveries.DELIVER_TASK, delivery=str(delivery_id))
    for address_id in addresses.waiting_confirmations():
        wake(addresses.CONFIRM_TASK, address=str(address_id))


@shared_task(name="pipeline.make_partitions")
def make_partitions(**_newer: object) -> None:
    """Create coming partitions, delete old dead letters, trials and rollups, rebuild indexes of past days."""
    now = timezone.now()
    ensure_partitions(now=now)
    prune_dead_letters(now=now)
    trials.prune_trials(now=now)
    prune_rollups(now=now)
    rebuild_closed_indexes(now=now)


@shared_task(name="pipeline.pack_runs")
def pack_runs(**_newer: object) -> None:
    """Pack runs of the oldest partition, a limited number of steps."""
    packer.pack_oldest_partition(now=timezone.now(), steps=20)


@shared_task(name="pipeline.drop_old_runs")
def drop_old_runs(**_newer: object) -> None:
    """Delete packed runs older than their project's retention."""
    retention.drop_old_runs(now=timezone.now(), steps=200, export_to=settings.EXPORT_DIR)


@shared_task(name="pipeline.roll_up")
def roll_up(**_newer: object) -> None:
    """Roll up hours and days and sum settled days, a limited number of steps each."""
    rollups.roll_up(now=timezone.now(), steps=40)
    sum_settled_days(now=timezone.now(), steps=40)
