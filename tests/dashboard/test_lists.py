"""Lists that are sorted by what was measured, and their CSV files."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.core.clock import to_ms
from apps.incidents import list_views
from apps.incidents.templatetags.bars import sparkline
from apps.monitors.models import Check
from apps.probes.reasons import Reason, Verdict
from apps.probes.wire import Run
from apps.results.record_runs import RecordedRun, record_runs
from tests.conftest import Cast
from tests.incidents.world import World

WORDS = {Verdict.DOWN: (Reason.CONNECT_REFUSED, "refused")}


def seen(cast: Cast, name: str, latencies_ms: list[int], ago_ms: int = 5_000) -> Check:
    """Create a check and record runs of these latencies, the last one `ago_ms` ago."""
    check: Check = World(cast, name=name).check
    now_ms = to_ms(timezone.now())
    slots = [now_ms - ago_ms - 10_000 * back for back in reversed(range(len(latencies_ms)))]
    runs = [
        Run(check.id, 1, slot, slot, latency, Verdict.UP, None, "", {}) for slot, latency in zip(slots, latencies_ms, strict=True)
    ]
    rows = [RecordedRun(run, cast.regions["eu"].pk, keeps_facts=False) for run in runs]
    record_runs(rows=rows, now_ms=now_ms)
    return check


@pytest.fixture
def alice(cast: Cast) -> Client:
    client = Client()
    client.force_login(cast.alice)
    return client


def order_of(page: str, names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: page.index(f">{name}</a>"))


def test_checks_are_sorted_by_p95_with_those_without_runs_last(cast: Cast, alice: Client) -> None:
    seen(cast, "quick", [10, 12])
    seen(cast, "slow", [900, 950])
    World(cast, name="new")
    url = f"/projects/{cast.project.pk}/checks/"
    for sort, names in (("p95", ["quick", "slow", "new"]), ("-p95", ["slow", "quick", "new"])):
        page = alice.get(url, {"sort": sort}).content.decode()
        assert order_of(page, ["new", "quick", "slow"]) == names, sort
    assert "aria-sort" in page


def test_checks_are_sorted_by_uptime(cast: Cast, alice: Client) -> None:
    good, bad = World(cast, name="good"), World(cast, name="bad")
    for world, verdict in ((good, "up"), (bad, "down")):
        for slot in world.slots(3):
            world.vote(slot, eu=verdict)
    rows = Check.objects.filter(project=cast.project)
    ranked = list_views.by_uptime(checks=rows, is_descending=False, now=bad.moment)
    assert ranked == [bad.check.pk, good.check.pk]
    assert list_views.by_uptime(checks=rows, is_descending=True, now=bad.moment) == ranked[::-1]


def test_a_large_list_is_not_sorted_by_what_was_measured(cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen(cast, "b", [10])
    seen(cast, "a", [900])
    monkeypatch.setattr("apps.dashboard.views.checks.MOST_MEASURED", 1)
    page = alice.get(f"/projects/{cast.project.pk}/checks/", {"sort": "p95"}).content.decode()
    assert order_of(page, ["a", "b"]) == ["a", "b"]
    assert ">p95</a>" not in page.replace("\n", "")
    assert ">p95</th>" in page.replace("\n", "")


def test_the_csv_of_checks_has_what_the_filters_leave(cast: Cast, alice: Client) -> None:
    seen(cast, "=SUM(A1)", [100])
    World(cast, name="other")
    url = f"/projects/{cast.project.pk}/checks.csv"
    answer = alice.get(url, {"q": "sum"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="web-checks.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [(row["name"], row["kind"], row["p95_ms_24h"] != "") for row in rows] == [("'=SUM(A1)", "http", True)]
    assert len(list(csv.reader(io.StringIO(alice.get(url).getvalue().decode())))) == 3


def test_the_csv_of_incidents_is_complete(cast: Cast, alice: Client) -> None:
    world = World(cast)
    for slot, verdict in zip(world.slots(4), ("up", "down", "down", "up"), strict=True):
        world.vote(slot, eu=verdict)
    rows = list(csv.DictReader(io.StringIO(alice.get(f"/projects/{cast.project.pk}/incidents.csv").getvalue().decode())))
    assert [(row["status"], row["severity"], row["reason"], row["downtime_s"]) for row in rows] == [
        ("resolved", "down", "connect_refused", "20.0")
    ]
    assert rows[0]["resolved_at"].endswith("Z")


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([None, None], ""),
        ([10.0, None, 10.0], 'd="M0.0 1.0h.1M72.0 1.0h.1"'),
        ([0.0, 10.0], 'd="M0.0 17.0h.1L72.0 1.0"'),
    ],
)
def test_a_sparkline_starts_at_zero_and_has_gaps(values: list[Any], path: str) -> None:
    drawn = sparkline(values)
    assert path in drawn
    assert bool(drawn) == bool(path)
