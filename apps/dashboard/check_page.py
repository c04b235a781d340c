"""What the page of one check shows: its state, its history, and its latest runs."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.dashboard.forms.durations import span_exactly
from apps.dashboard.heartbeats import heartbeat_panel, typical_gap_ms
from apps.incidents.history import histories, recent_runs_queries, uptime_figures
from apps.incidents.list_views import beats_of, failing_region_slugs, run_bar
from apps.incidents.models import Incident
from apps.incidents.selectors import ShownState, open_pauses, shown_state
from apps.monitors.models import Check, Region
from apps.probes.registry import KINDS, PASSIVE
from apps.results import latency
from apps.results.bars import bar_of
from apps.results.models import GOOD, VERDICTS, Certificate
from apps.results.runs import RunQuery, runs_within
from apps.results.selectors import SeenRun, last_facts, recent_runs, timed

_RUNS_SHOWN = 20
_CELLS = 150
_DAYS = 90
_INCIDENTS_SHOWN = 5
HISTORY = timedelta(days=_DAYS)


@dataclass(frozen=True)
class CheckNow:
    """What decides whether an open page is out of date: read first, and by itself when nothing is new."""

    state: ShownState
    runs: list[SeenRun]
    incidents: list[Incident]
    version: str


def check_now(check: Check, now: datetime) -> CheckNow:
    """Read a check's state, its newest runs and its latest incidents."""
    count = (_CELLS + 1) * max(1, len(check.region_ids))
    runs = recent_runs(wanted=recent_runs_queries([check]), count=count, now_ms=to_ms(now))[check.pk]
    state = shown_state(check=check, row=check.state, pause=open_pauses([check]).get(check.pk), now=now)
    rows = Incident.objects.filter(check_row=check).select_related("check_row", "acknowledged_by").order_by("-started_at")
    incidents = list(rows[:_INCIDENTS_SHOWN])
    parts = (
        (runs[-1].slot, len(runs)) if runs else (),
        (check.state.slot, check.state.pings, state.status, check.revision, check.name, check.resource_id),
        [(incident.pk, incident.status) for incident in incidents],
    )
    return CheckNow(state, runs, incidents, str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts))))


def check_context(check: Check, known: CheckNow, *, may_ping: bool, now: datetime) -> dict[str, Any]:
    """Read everything else that the page shows, as its template's values."""
    slugs = dict(Region.objects.values_list("id", "slug"))
    spans = histories(checks=[check], start=now - HISTORY, end=now)[check.pk]
    is_passive = check.kind in PASSIVE
    today = to_ms(now) // DAY_MS * DAY_MS
    since = to_ms(now) - recent_runs_queries([check])[0].back_ms
    last = runs_within(RunQuery(check.pk, since, to_ms(now) + DAY_MS), limit=_RUNS_SHOWN)
    beats = beats_of(known.runs, check, count=_CELLS, now=now)
    width = typical_gap_ms(check, now) if is_passive else check.interval_ms
    phase = (beats[-1].slot - width // 2 if beats else 0) if is_passive else check.phase_ms
    by_region = latency.by_region(check_id=check.pk, start=to_ms(now) - DAY_MS, end=to_ms(now))
    facts = None if is_passive else last_facts(check_id=check.pk, now_ms=to_ms(now))
    certificate_id = next((run.certificate_id for run in last if run.certificate_id), None)
    return {
        "check": check,
        "kind": KINDS[check.kind],
        "heartbeat": heartbeat_panel(check, now, may_ping=may_ping) if is_passive else None,
        "state": known.state,
        "regions": [slugs[region] for region in check.region_ids if region in slugs],
        "slugs": slugs,
        "failing_regions": failing_region_slugs(known.runs, check, slugs),
        "run_bar": run_bar(beats, spans, width=width, count=_CELLS, phase=phase),
        "figures": uptime_figures(spans, check=check, now=now),
        "days": bar_of(spans, start=today - (_DAYS - 1) * DAY_MS, width=DAY_MS, count=_DAYS),
        "by_region": [(slugs.get(region, "?"), point) for region, point in sorted(by_region.items())],
        "runs": run_lines(last, slugs),
        "last": last[0] if last else None,
        "last_good": next((run for run in last if VERDICTS[run.verdict] in GOOD), None),
        "last_facts": facts and run_lines([facts], slugs)[0],
        "certificate": certificate_id and _certificate(certificate_id, now),
        "incidents": known.incidents,
        "open_incident": next((incident for incident in known.incidents if incident.resolved_at is None), None),
        "setup": _setup(check),
    }


def _setup(check: Check) -> list[tuple[str, Any]]:
    """Return the options that differ from the kind's defaults, under the labels of the form, without secrets.

    Those of a heartbeat are shown whole: they are its schedule.
    """
    kind = KINDS[check.kind]
    defaults = {} if kind.is_passive else kind.parse(check.target or kind.example[0], {}).stored()
    shown = []
    for field in kind.option_fields:
        value = check.options.get(field.name)
        is_moot = field.name == "timezone" and not check.options.get("cron")
        if value in (None, "", [], {}) or value == defaults.get(field.name) or field.name in kind.secret_options or is_moot:
            continue
        words = span_exactly(value) if field.name.endswith("_s") else dict(field.choices).get(str(value), value)
        shown.append((field.label, words))
    return shown


def run_lines(runs: Sequence[Any], slugs: dict[int, str]) -> list[dict[str, Any]]:
    """Runs as the table shows them."""
    return [
        {
            "key": f"{run.slot}-{run.region_id}",
            "at": from_ms(run.slot + run.started_after_ms),
            "verdict": VERDICTS[run.verdict],
            "latency_ms": timed(run.duration_ms),
            "region": slugs.get(run.region_id, "?"),
            "code": run.code,
            "reason": run.reason,
            "message": (run.facts or {}).get("message", ""),
            "phases": {"dns": run.dns_ms, "connect": run.connect_ms, "tls": run.tls_ms, "first_byte": run.first_byte_ms},
            "facts": {name: value for name, value in (run.facts or {}).items() if name not in ("message", "phases_ms")},
        }
        for run in runs
    ]


def _certificate(pk: int, now: datetime) -> dict[str, Any]:
    facts = Certificate.objects.get(pk=pk).facts
    ends = from_ms(facts["not_after"])
    return {**facts, "ends": ends, "days": (ends - now).days}
