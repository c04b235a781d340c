"""What of a small project deserves a look before it fails: certificates that expire soon, and the slowest checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.core.clock import from_ms, to_ms
from apps.monitors.models import Check
from apps.orgs.models import Project
from apps.probes.registry import PASSIVE
from apps.results import latency
from apps.results.certificate_rows import last_certificates

_MOST_CHECKS = 500
"""Of larger projects these would cost more than the page around them."""
_SHOWN = 5
_SOON_DAYS = 30
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Highlights:
    certificates: list[tuple[Check, int]]
    """Certificates that the newest runs saw and that expire within 30 days: (check, whole days left), the next first."""
    slowest: list[tuple[Check, float]]
    """(check, p95 of the last 24 hours in ms), the slowest first."""


def highlights_of(*, project: Project, now: datetime) -> Highlights | None:
    """Return the highlights of a project; None of one that is too large for them."""
    rows = Check.objects.live().filter(project=project, is_paused=False).exclude(kind__in=PASSIVE).order_by("pk")
    checks = {check.pk: check for check in rows[: _MOST_CHECKS + 1]}
    if len(checks) > _MOST_CHECKS:
        return None
    ends = last_certificates(check_ids=list(checks), now_ms=to_ms(now))
    days = [(checks[pk], (from_ms(moment) - now).days) for pk, moment in ends.items()]
    points = latency.summary(check_ids=list(checks), start=to_ms(now - _DAY), end=to_ms(now))
    latencies = [(checks[pk], point.p95) for pk, point in points.items() if point.p95 is not None]
    return Highlights(
        certificates=sorted((one for one in days if one[1] < _SOON_DAYS), key=lambda one: one[1])[:_SHOWN],
        slowest=sorted(latencies, key=lambda one: -one[1])[:_SHOWN],
    )
