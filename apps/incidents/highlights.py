"""What of a small project deserves a look before it fails: certificates that expire soon, and the slowest checks."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from apps.core.clock import from_ms, to_ms
from apps.monitors.models import Check
from apps.orgs.models import Project
from apps.probes.registry import PASSIVE
from apps.results import latency
from apps.results.certificates import last_certificates

_MOST_CHECKS = 500
"""Of larger projects both would cost more than the page around them."""
_SHOWN = 5
_DAY = timedelta(days=1)


class ExpiringCertificate(NamedTuple):
    check: Check
    days: int


class SlowCheck(NamedTuple):
    check: Check
    p95: float


def _active_checks(project: Project) -> dict[uuid.UUID, Check]:
    rows = Check.objects.live().filter(project=project, is_paused=False).exclude(kind__in=PASSIVE).order_by("pk")
    checks = list(rows[: _MOST_CHECKS + 1])
    return {check.pk: check for check in checks} if len(checks) <= _MOST_CHECKS else {}


def expiring_certificates(*, project: Project, now: datetime) -> list[ExpiringCertificate]:
    """Return the certificates that the newest runs saw, the next to expire first."""
    checks = _active_checks(project)
    seen = last_certificates(check_ids=list(checks), now_ms=to_ms(now))
    found = [ExpiringCertificate(checks[pk], (from_ms(ends) - now).days) for pk, ends in seen.items()]
    return sorted(found, key=lambda one: one.days)[:_SHOWN]


def slowest_checks(*, project: Project, now: datetime) -> list[SlowCheck]:
    """Return the checks with the highest p95 of the last 24 hours."""
    checks = _active_checks(project)
    points = latency.summary(check_ids=list(checks), start=to_ms(now - _DAY), end=to_ms(now))
    found = [SlowCheck(checks[pk], point.p95) for pk, point in points.items() if point.p95 is not None]
    return sorted(found, key=lambda one: -one.p95)[:_SHOWN]
