"""Settles heartbeat deadlines that passed without a ping: a sweep each second, one transaction per check."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime

from django.db import InterfaceError, OperationalError, transaction

from apps.core.clock import to_ms
from apps.incidents.models import CheckState
from apps.incidents.services.evaluate import add_evaluation_dead_letter
from apps.incidents.services.heartbeat_transition import core_liveness, lock_transition, settle_missed_deadlines, write_transition

log = logging.getLogger(__name__)

_SWEPT = 200


def settle_deadlines(*, now: datetime) -> int:
    """Settle the missed deadlines of up to 200 checks; return how many checks had one.

    An error in one check becomes a dead letter and does not stop the others.
    """
    settled = 0
    for check_id in passed_deadlines(now=now):
        try:
            settled += settle_deadline(check_id=check_id, now=now)
        except (OperationalError, InterfaceError):
            raise  # a failure of the database, not of the check
        except Exception as error:
            log.exception("the deadline of check %s could not be settled", check_id)
            add_evaluation_dead_letter(check_id, error, now)
    return settled


@transaction.atomic
def settle_deadline(*, check_id: uuid.UUID, now: datetime) -> bool:
    """Settle the missed deadlines of one check; return whether there were any."""
    transition = lock_transition(check_id)
    if transition is None or transition.plan.is_paused:
        return False
    settle_missed_deadlines(transition, to_ms(now), to_ms(now), core_liveness(transition.plan.region_id))
    if transition.events:
        write_transition(transition, now)
    return bool(transition.events)


def passed_deadlines(*, now: datetime) -> list[uuid.UUID]:
    """Return up to 200 checks whose deadline lies before now, the most overdue first."""
    late = CheckState.objects.filter(deadline__lt=to_ms(now)).order_by("deadline")
    return list(late.values_list("pk", flat=True)[:_SWEPT])
