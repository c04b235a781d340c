"""Ingest of messages that are repeated, truncated, forged or hold bad rows: the good rows are recorded, once."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from apps.core.clock import from_ms
from apps.incidents.models import CheckState, Incident
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check, Region
from apps.monitors.selectors import liveness_of
from apps.orgs.actors import SYSTEM
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.results.models import CheckRun, DeadLetter
from tests.conftest import NOW, NOW_MS, Cast
from tests.signed import signed


def make_checks(cast: Cast, count: int, *regions: str) -> list[Check]:
    spec = CheckSpec(
        name="c", kind="http", target="http://127.0.0.1:1/", options={}, interval_s=10, timeout_s=5, regions=regions or ("eu",)
    )
    return [
        check_commands.create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=NOW) for _ in range(count)
    ]


def row(check: Check, verdict: str = "up", /, **changes: Any) -> dict[str, Any]:
    slot = CheckState.objects.get(check_row=check).due
    reason = {"code": "connect_refused", "message": "refused"} if verdict == "down" else None
    given = {
        "check": str(check.id),
        "revision": 1,
        "slot": slot,
        "started_at": slot + 1,
        "duration_ms": 9,
        "verdict": verdict,
        "reason": reason,
        "facts": {},
    }
    return {**given, **changes}


def message(region: Region, rows: list[Any], sent_at: int = NOW_MS, key: str = "") -> bytes:
    body = json.dumps({"type": "runs", "runs": rows}).encode()
    return signed(body, region=region.slug, key=key or region.key, sent_at=sent_at)


def take(raw: bytes, memory: Memory | None = None) -> None:
    ingest(raw, memory=memory or Memory(), now=NOW)


def test_a_poisoned_row_among_a_hundred_is_one_dead_letter_and_the_good_ones_are_kept(cast: Cast) -> None:
    checks = make_checks(cast, 20)
    good = [row(check) for check in checks]
    poison = [
        row(checks[0], facts={"a": "\0"}),
        row(checks[0], facts={"a": "\ud800"}),
        row(checks[0], facts={"a": float("nan")}),
        row(checks[0], slot=NOW_MS + 365 * 86_400_000),
        row(checks[0], slot=float("nan")),
        row(checks[0], slot=2**70),
        row(checks[0], check=str(uuid.uuid4())),
        "nonsense",
        None,
    ]
    take(message(cast.regions["eu"], [*good[:10], *poison, *good[10:]]))
    assert CheckRun.objects.count() == len(good)
    assert DeadLetter.objects.filter(origin="row").count() == len(poison)
    assert CheckState.objects.filter(status="up").count() == len(good)


def test_a_message_twice_is_a_message_once(cast: Cast) -> None:
    (check,) = make_checks(cast, 1)
    raw = message(cast.regions["eu"], [row(check, "down")])
    for _ in range(3):
        take(raw)
    assert (CheckRun.objects.count(), Incident.objects.count(), DeadLetter.objects.count()) == (1, 1, 0)


@pytest.mark.django_db(transaction=True)
def test_a_message_twice_in_two_consumers_at_the_same_moment(transactional_db: None, request: pytest.FixtureRequest) -> None:
    cast: Cast = request.getfixturevalue("cast")
    checks = make_checks(cast, 30)
    rows = [row(check, "down") for check in checks]
    messages = [message(cast.regions["eu"], rows), message(cast.regions["eu"], rows[::-1])]
    barrier, failures = threading.Barrier(2), []

    def consume(raw: bytes) -> None:
        try:
            barrier.wait(5)
            take(raw)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=consume, args=[raw]) for raw in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert (CheckRun.objects.count(), Incident.objects.count()) == (30, 30)


@pytest.mark.parametrize("cut", [0, 1, 30, 200])
def test_a_message_cut_in_the_middle_is_one_dead_letter(cast: Cast, cut: int) -> None:
    (check,) = make_checks(cast, 1)
    take(message(cast.regions["eu"], [row(check)])[:cut])
    assert (CheckRun.objects.count(), DeadLetter.objects.filter(origin="message").count()) == (0, 1)


def test_a_wrong_key_changes_nothing(cast: Cast) -> None:
    (check,) = make_checks(cast, 1)
    take(message(cast.regions["eu"], [row(check, "down")], key=wire.new_region_key()))
    envelope = json.loads(message(cast.regions["eu"], [row(check, "down")]))
    for change in ({"body": envelope["body"].replace("down", "up")}, {"region": "us"}, {"region": "nowhere"}):
        take(json.dumps({**envelope, **change}).encode())
    assert (CheckRun.objects.count(), DeadLetter.objects.count()) == (0, 4)


def test_a_region_writes_for_its_own_checks_alone(cast: Cast) -> None:
    (check,) = make_checks(cast, 1, "eu")
    take(message(cast.regions["us"], [row(check, "down")]))
    assert (CheckRun.objects.count(), DeadLetter.objects.get().error) == (0, "the check does not belong to this region")


def test_a_disabled_region_is_not_heard(cast: Cast) -> None:
    (check,) = make_checks(cast, 1)
    Region.objects.filter(slug="eu").update(is_enabled=False)
    take(message(cast.regions["eu"], [row(check)]))
    assert CheckRun.objects.count() == 0


def heartbeat(region: Region, sent_at: int, **changes: Any) -> bytes:
    given = {"type": "heartbeat", "is_settled": True, "offset_ms": 3, "in_flight": 1, "dropped": {"late": 2}}
    return signed(json.dumps({**given, **changes}).encode(), region=region.slug, key=region.key, sent_at=sent_at)


def test_a_heartbeat_tells_of_the_worker(cast: Cast) -> None:
    Region.objects.update(last_sent_ms=None, heard_at_ms=None)
    take(heartbeat(cast.regions["eu"], NOW_MS - 100, offset_ms=3_004))
    region = Region.objects.get(slug="eu")
    assert (region.last_sent_ms, region.heard_at_ms, region.clock_offset_ms, region.dropped) == (
        NOW_MS - 100,
        NOW_MS,
        3_004,
        {"late": 2},
    )


def test_a_worker_that_does_not_know_the_time_yet_is_heard_but_not_live(cast: Cast) -> None:
    Region.objects.update(last_sent_ms=None, heard_at_ms=None)
    take(heartbeat(cast.regions["eu"], NOW_MS + 9_000_000, is_settled=False))
    region = Region.objects.get(slug="eu")
    assert (region.last_sent_ms, region.heard_at_ms) == (None, NOW_MS)


def test_a_message_from_the_future_does_not_keep_a_region_live_for_ever(cast: Cast) -> None:
    take(heartbeat(cast.regions["eu"], NOW_MS + 9_000_000))
    assert not liveness_of(Region.objects.get(slug="eu")).is_live(NOW_MS + 60_000)


def test_a_copy_of_a_message_makes_no_silent_region_live(cast: Cast) -> None:
    Region.objects.update(last_sent_ms=None, heard_at_ms=None)
    raw = heartbeat(cast.regions["eu"], NOW_MS)
    take(raw)
    later = NOW + timedelta(minutes=5)
    ingest(raw, memory=Memory(), now=later)
    forged = {**json.loads(raw), "sent_at": NOW_MS + 300_000, "sequence": 2}
    ingest(json.dumps(forged).encode(), memory=Memory(), now=later)
    region = Region.objects.get(slug="eu")
    assert not liveness_of(region).is_live(NOW_MS + 300_000)
    assert (region.last_sent_ms, region.heard_at_ms) == (NOW_MS, NOW_MS)
    assert DeadLetter.objects.count() == 1  # the forged one


def test_an_older_heartbeat_does_not_take_the_place_of_a_newer_one(cast: Cast) -> None:
    region = cast.regions["eu"]
    signer = wire.Signer(region.slug, region.key, "worker")

    def beat(in_flight: int, sent_at: int) -> bytes:
        report = wire.Heartbeat(is_settled=True, offset_ms=0, in_flight=in_flight, dropped={})
        return signer.sign(wire.encode_report(report), sent_at=sent_at)

    first, second = beat(1, NOW_MS - 200), beat(2, NOW_MS - 100)
    for raw in (first, second, first):
        take(raw)
    assert Region.objects.get(slug="eu").in_flight == 2


def test_a_standstill_of_a_worker_is_a_dead_letter_that_names_the_job(cast: Cast) -> None:
    (check,) = make_checks(cast, 1)
    report = wire.Standstill(stood_still_s=10, stack="here", check=check.id, revision=1, slot=5, kind="http")
    region = cast.regions["eu"]
    take(signed(wire.encode_report(report), region=region.slug, key=region.key, sent_at=NOW_MS))
    letter = DeadLetter.objects.get()
    assert (letter.origin, letter.region, letter.check_id) == ("probe", "eu", check.id)
    assert "stood still for 10 s at a run of kind http" in letter.error


@pytest.mark.parametrize("change", [{"offset_ms": "x"}, {"in_flight": None}, {"dropped": 3}, {"offset_ms": 2**60}])
def test_a_malformed_heartbeat_is_a_dead_letter(cast: Cast, change: dict[str, Any]) -> None:
    take(heartbeat(cast.regions["eu"], NOW_MS, **change))
    assert DeadLetter.objects.count() == 1


def test_full_facts_are_kept_of_trouble_and_of_the_first_after_a_change(cast: Cast) -> None:
    (check,) = make_checks(cast, 1)
    memory = Memory()
    first = CheckState.objects.get(check_row=check).due
    for index, verdict in enumerate(["up", "up", "down", "up", "up"]):
        take(
            message(
                cast.regions["eu"], [row(check, verdict, slot=first + index, facts={"size": index, "phases_ms": {"dns": 1.5}})]
            ),
            memory,
        )
    kept = list(CheckRun.objects.order_by("slot").values_list("facts", "dns_ms"))
    assert [facts is not None for facts, _ in kept] == [True, False, True, True, False]
    assert {dns for _, dns in kept} == {1.5}


def test_a_certificate_is_a_row_of_its_own(cast: Cast) -> None:
    checks = make_checks(cast, 2)
    facts = {"certificate": {"fingerprint": "ab" * 32, "subject": "CN=x"}, "phases_ms": {}}
    take(message(cast.regions["eu"], [row(check, facts=facts) for check in checks]))
    assert len(set(CheckRun.objects.values_list("certificate_id", flat=True))) == 1


def test_an_extra_region_does_not_count_when_it_was_taken_off(cast: Cast) -> None:
    (check,) = make_checks(cast, 1, "eu", "us")
    check_commands.edit_check(
        actor=SYSTEM, check_id=check.id, changes={"regions": ("eu",)}, resource=None, now=from_ms(NOW_MS + 1)
    )
    take(message(cast.regions["us"], [row(check, "down", revision=2, slot=NOW_MS + 1)]))
    assert Incident.objects.count() == 0
