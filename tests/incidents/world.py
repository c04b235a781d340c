"""A check and its regions on a virtual clock: runs are recorded and evaluated by the real services."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.core.clock import from_ms
from apps.incidents.models import CheckState, Incident, IncidentEvent
from apps.incidents.services import check_commands
from apps.incidents.services.evaluate import evaluate_checks
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check
from apps.monitors.schedule import phase_of
from apps.orgs.actors import SYSTEM
from apps.probes.reasons import Reason, Verdict
from apps.probes.wire import Run
from apps.results.record_runs import RecordedRun, record_runs
from tests.conftest import NOW, NOW_MS, Cast, make_live

REASONS = {
    Verdict.DOWN: (Reason.CONNECT_REFUSED, "127.0.0.1:1 refused the connection"),
    Verdict.DEGRADED: (Reason.TOO_SLOW, "slow"),
}


class World:
    """One check, its regions and a clock (`now`, epoch milliseconds) that only moves forward."""

    def __init__(self, cast: Cast, **spec: Any) -> None:
        self.cast = cast
        given = {"name": "site", "kind": "http", "target": "http://127.0.0.1:1/", "options": {}, "interval_s": 10, "timeout_s": 5}
        self.now = NOW_MS
        self.check: Check = check_commands.create_check(
            actor=SYSTEM, project=cast.project, spec=CheckSpec(**{"regions": ("eu",), **given, **spec}), resource=None, now=NOW
        )
        self.first = self.row().due
        self.revision = 1

    def row(self) -> CheckState:
        return CheckState.objects.get(check_row=self.check)

    def slots(self, count: int) -> list[int]:
        """Return the first `count` regular slots (epoch milliseconds); they follow the extra slot of the creation."""
        check = Check.objects.get(pk=self.check.pk)
        step, phase = check.interval_ms, phase_of(check.id, check.interval_ms)
        start = -(-(check.since_ms - phase) // step) * step + phase
        return [start + i * step for i in range(count)]

    def vote(self, slot: int, evaluate: bool = True, revision: int | None = None, **verdicts: str) -> None:
        """Record a run of the slot for each region named, 200 ms after it; then evaluate, unless told not to."""
        self.now = max(self.now, slot + 200)
        rows = []
        for region, verdict in verdicts.items():
            reason, message = REASONS.get(Verdict(verdict), (None, ""))
            run = Run(self.check.id, revision or self.revision, slot, slot + 2, 12, Verdict(verdict), reason, message, {})
            rows.append(RecordedRun(run, self.cast.regions[region].id, keeps_facts=True))
            make_live(self.cast.regions[region], self.now)
        record_runs(rows=rows, now_ms=self.now)
        if evaluate:
            self.evaluate()

    def evaluate(self, at: int | None = None) -> None:
        self.now = max(self.now, at or 0)
        evaluate_checks(check_ids=[self.check.id], now=from_ms(self.now))

    @property
    def moment(self) -> Any:
        return from_ms(self.now) + timedelta(milliseconds=1)

    def incidents(self) -> list[Incident]:
        return list(Incident.objects.filter(check_row=self.check).order_by("started_at"))

    def events(self) -> list[str]:
        return [event.kind for event in IncidentEvent.objects.filter(check_row=self.check).order_by("seq")]
