from __future__ import annotations

import asyncio
import itertools
import random
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError

from apps.core.clock import DAY_MS, to_ms
from apps.demo import project
from apps.demo.plan import PARTS, is_broken, outages, path_of
from apps.demo.project import make_demo, point_demo_at, remove_demo
from apps.demo.servers import Places, open_all
from apps.demo.target import Target, serve
from apps.incidents.history import uptime
from apps.incidents.models import CheckState, Incident
from apps.incidents.services import evaluate
from apps.incidents.services.evaluate import evaluate_checks
from apps.monitors.models import Check, Region
from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.operations.requeue import requeue
from apps.orgs.models import Organization, User
from apps.probes import runner
from apps.probes.reasons import Verdict
from apps.probes.registry import KINDS
from apps.probes.wire import Job, Run, encode_run
from apps.results.dead_letters import add_dead_letter
from apps.results.models import CheckRun, DayRollup, DeadLetter, HourRollup, StateInterval
from apps.results.partitions import partition_names
from apps.results.record_runs import RecordedRun, record_runs
from tests.conftest import NOW, NOW_MS, Cast, make_live
from tests.incidents.world import World

URL = "http://127.0.0.1:8899"


def test_outages_do_not_overlap_and_leave_today_alone() -> None:
    for seed in range(50):
        found = outages(random.Random(seed), number=8, start=0, end=90 * DAY_MS)
        assert all(one.end <= other.start for one, other in itertools.pairwise(found))
        assert all(0 < outage.start < outage.end < 90 * DAY_MS for outage in found)


def test_a_newcomer_sees_an_incident_open_and_resolve_within_two_minutes() -> None:
    assert any(part.fail_after == 1 and any(is_broken(part, s) for s in range(60)) and not is_broken(part, 75) for part in PARTS)


def test_the_target_breaks_and_heals_by_hand() -> None:
    target = Target()

    async def talk() -> list[int]:
        server = await serve(0)
        async with server:
            port = server.sockets[0].getsockname()[1]

            def status(path: str, data: bytes | None = None) -> int:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=5) as answer:
                        return int(answer.status)
                except urllib.error.HTTPError as error:
                    return error.code

            acts: list[tuple[str, bytes | None]] = [
                ("/shop", None), ("/switch", b"path=/shop&to=break"), ("/shop", None), ("/switch", b"path=/shop&to=heal"),
                ("/shop", None), ("/nothing", None), ("/hook", b"{}"), ("/legacy", None),
            ]  # fmt: skip
            return [await asyncio.to_thread(status, *act) for act in acts]

    assert asyncio.run(talk()) == [200, 200, 503, 200, 200, 404, 200, 503]
    assert not target.is_down(path_of(PARTS)["/shop"])


@pytest.fixture
def demo(db: None, monkeypatch: pytest.MonkeyPatch) -> Organization:
    monkeypatch.setattr(project, "DAYS", 6)
    return make_demo(places=Places(URL), now=NOW)


def test_its_past_agrees_with_itself(demo: Organization) -> None:
    checks = list(Check.objects.filter(organization=demo))
    assert {check.kind for check in checks} >= set(KINDS) - {"icmp"}
    assert len(checks) in (len(PARTS), len(PARTS) - 1)
    for check in checks:
        runs = CheckRun.objects.filter(check_id=check.pk)
        row = CheckState.objects.get(check_row=check)
        assert runs.filter(slot__gte=row.due).count() == 0
        assert abs(runs.count() - 6 * 1440) <= 1
        sums = uptime(check=check, start=NOW - timedelta(days=6), end=NOW)
        incidents = Incident.objects.filter(check_row=check)
        assert sums.down == sum(incident.downtime_ms for incident in incidents)
        bad = runs.filter(verdict=3).count() * 60_000
        assert bad == sums.down
    hours = HourRollup.objects.filter(check_id=checks[0].pk)
    until = to_ms(NOW) // 3_600_000 * 3_600_000
    assert (
        sum(row.up + row.down + row.degraded for row in hours)
        == CheckRun.objects.filter(check_id=checks[0].pk, slot__lt=until).count()
    )
    assert DayRollup.objects.filter(check_id=checks[0].pk).count() == 6


def test_its_checks_go_on_from_their_past(demo: Organization, cast: Cast) -> None:
    check = Check.objects.get(organization=demo, name="Shop")
    region = Region.objects.get(slug="local")
    row = CheckState.objects.get(check_row=check)
    make_live(region, row.due + 300)
    run = Run(check.pk, check.revision, row.due, row.due, 40, Verdict.UP, None, "", {})
    record_runs(rows=[RecordedRun(run, region.pk, keeps_facts=False)], now_ms=row.due + 200)
    assert evaluate_checks(check_ids=[check.pk], now=NOW + timedelta(seconds=20)) == 1
    after = CheckState.objects.get(check_row=check)
    assert (after.status, after.slot) == ("up", row.due)
    assert StateInterval.objects.filter(check_id=check.pk, start__gte=NOW_MS).count() == 0


def test_it_follows_its_target_and_is_removed_whole(demo: Organization, cast: Cast) -> None:
    count = Check.objects.filter(organization=demo).count()
    point_demo_at(organization=demo, places=Places("http://127.0.0.1:9999", dns=5353), now=NOW)
    assert Check.objects.get(organization=demo, kind="dns").options["nameserver"] == "127.0.0.1:5353"
    assert Check.objects.get(organization=demo, name="Shop").target == "http://127.0.0.1:9999/shop"
    kept = World(cast)
    kept.vote(kept.first, eu="up")
    assert remove_demo() == count
    assert list(Check.objects.all()) == [kept.check]
    assert CheckRun.objects.count() == 1
    assert not User.objects.filter(email=project.EMAIL).exists()
    for model in (HourRollup, DayRollup):
        assert not model.objects.exists()
    assert StateInterval.objects.exclude(check_id=kept.check.pk).count() == 0
    assert not Region.objects.filter(slug="demo-silent").exists()
    assert len(partition_names()) < 60


def test_a_dead_letter_is_worked_on_again(cast: Cast) -> None:
    world = World(cast)
    run = Run(world.check.id, 1, world.first, world.first, 12, Verdict.UP, None, "", {})

    def letter(content: Any, origin: DeadLetter.Origin = DeadLetter.Origin.ROW) -> DeadLetter:
        check_id = None if origin == DeadLetter.Origin.MESSAGE else world.check.id
        add_dead_letter(origin=origin, error="x", content=content, now=NOW, region="eu", check_id=check_id)
        return DeadLetter.objects.latest("pk")

    assert requeue(dead_letter=letter(encode_run(run).decode()), now=NOW + timedelta(seconds=1))
    assert CheckRun.objects.filter(check_id=world.check.id).count() == 1
    assert CheckState.objects.get(check_row=world.check).status == "up"
    assert requeue(dead_letter=letter("", DeadLetter.Origin.EVALUATION), now=NOW + timedelta(seconds=2))
    assert DeadLetter.objects.count() == 0
    late = Run(world.check.id, 1, world.first - 100 * DAY_MS, world.first, 12, Verdict.UP, None, "", {})
    assert not requeue(dead_letter=letter(encode_run(late).decode()), now=NOW)  # beyond the project's retention
    for nonsense in ("{", "{}", '{"check": 1}'):
        assert not requeue(dead_letter=letter(nonsense), now=NOW)
    assert not requeue(dead_letter=letter("not an envelope", DeadLetter.Origin.MESSAGE), now=NOW)
    assert DeadLetter.objects.count() >= 4


def test_an_evaluation_that_fails_again_stays_a_letter(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    check = World(cast).check

    def failing(**_: object) -> int:
        raise DataError("out of range")

    add_dead_letter(origin=DeadLetter.Origin.EVALUATION, error="x", content="", now=NOW, check_id=check.id)
    kept = DeadLetter.objects.get()
    monkeypatch.setattr(evaluate, "evaluate_checks", failing)
    assert not requeue(dead_letter=kept, now=NOW + timedelta(seconds=1))
    assert list(DeadLetter.objects.all()) == [kept]


def test_its_servers_are_up_to_the_product_s_own_probes() -> None:
    """Run the kinds `dns`, `smtp` and `tls` against the servers that the demo opens."""

    async def main() -> dict[str, Any]:
        places, servers, names = await open_all(URL, datetime.now(UTC))
        network = Network(AddressPolicy(private=True))
        found = {}
        for part in PARTS:
            if part.kind in ("dns", "smtp", "tls"):
                job = Job(part.name, 1, 0, part.kind, project._target(part, places), project._options(part, places), 2_000)
                found[part.kind] = (await runner.run(job, network, to_ms(datetime.now(UTC)))).outcome
        await network.close()
        names.close()
        for server in servers:
            server.close()
        return found

    found = asyncio.run(main())
    assert {kind: (outcome.verdict, outcome.message) for kind, outcome in found.items()} == dict.fromkeys(
        ("dns", "smtp", "tls"), ("up", "")
    )
