from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec
from apps.monitors.due_checks import due_checks, due_now
from apps.monitors.models import Check, Region
from apps.orgs.actors import SYSTEM
from apps.pipeline import dispatch
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.probes.reasons import Verdict
from tests.conftest import NOW, NOW_MS, Cast
from tests.signed import signed


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Collect batches as (queue, task arguments) instead of sending them to a broker."""
    batches: list[tuple[str, dict[str, Any]]] = []
    declared: list[str] = []

    class Producer:
        class connection:
            channel_errors = (LookupError,)

        class channel:
            @staticmethod
            def queue_declare(queue: str, passive: bool = False, **_: object) -> None:
                if passive:
                    raise LookupError(queue)
                declared.append(queue)

    class Broker:
        class producer_pool:
            @staticmethod
            def acquire(**_: object) -> Any:
                from contextlib import nullcontext

                return nullcontext(Producer)

        @staticmethod
        def send_task(name: str, *, kwargs: dict[str, Any], queue: Any, **_: object) -> None:
            assert name == wire.TASK
            batches.append((queue.name, kwargs))

    monkeypatch.setattr(dispatch, "current_app", Broker)
    monkeypatch.setattr(dispatch, "_declared_at", {})
    yield batches
    assert sorted(set(declared)) == sorted(declared)


def check(cast: Cast, **changes: Any) -> Check:
    given: dict[str, Any] = {
        "name": "c",
        "kind": "http",
        "target": "http://127.0.0.1:1/",
        "options": {},
        "interval_s": 10,
        "timeout_s": 5,
    }
    return check_commands.create_check(
        actor=SYSTEM, project=cast.project, spec=CheckSpec(**{**given, **changes}), resource=None, now=NOW
    )


def test_every_slot_is_sent_once_to_every_region(cast: Cast, sent: list[tuple[str, dict[str, Any]]]) -> None:
    checks = [check(cast) for _ in range(25)]
    for second in range(32):
        Region.objects.update(heard_at_ms=NOW_MS)
        dispatch.send_due(now=NOW + timedelta(seconds=second))
    slots: dict[str, list[tuple[str, int]]] = {"probe.eu": [], "probe.us": []}
    for queue, batch in sent:
        slots[queue] += [(job["check"], job["slot"]) for job in batch["jobs"]]
    for named in slots.values():
        assert len(named) == len(set(named))
        for row in checks:
            mine = sorted(slot for check_id, slot in named if check_id == str(row.id))
            assert mine == list(range(mine[0], mine[-1] + 1, 10_000))
            assert mine[0] < NOW_MS + 12_001
            assert mine[-1] > NOW_MS + 22_000
    assert all(len(batch["jobs"]) <= wire.MAX_JOBS for _, batch in sent)


def test_a_gap_is_not_made_up_for(cast: Cast, sent: list[tuple[str, dict[str, Any]]]) -> None:
    for _ in range(10):
        check(cast, interval_s=5)
    dispatch.send_due(now=NOW)
    sent.clear()
    later = NOW + timedelta(minutes=2)
    dispatch.send_due(now=later)
    slots = [job["slot"] for _, batch in sent for job in batch["jobs"]]
    assert all(NOW_MS + 118_000 < slot <= NOW_MS + 122_000 for slot in slots)


def test_regions_not_heard_from_and_paused_checks_get_nothing(cast: Cast, sent: list[tuple[str, dict[str, Any]]]) -> None:
    Region.objects.filter(slug="us").update(heard_at_ms=NOW_MS - 901_000)
    row = check(cast)
    check_commands.pause_check(actor=SYSTEM, check_id=row.id, now=NOW)
    for second in range(15):
        dispatch.send_due(now=NOW + timedelta(seconds=second))
    assert {queue for queue, _ in sent} == {"probe.eu"}
    assert [job for _, batch in sent for job in batch["jobs"]] == []


def test_secrets_travel_sealed_for_their_region(cast: Cast, sent: list[tuple[str, dict[str, Any]]]) -> None:
    row = check(cast, options={"headers": {"Authorization": "Bearer s3cret"}}, degraded_ms=250, retries=2)
    due = due_now(check_id=row.id, revision=1, slot=NOW_MS)
    assert due is not None
    dispatch.send([due], now_ms=NOW_MS)
    jobs = {queue: batch["jobs"][0] for queue, batch in sent}
    assert "s3cret" not in str(sent)
    job = wire.parse_job(jobs["probe.eu"], region_key=cast.regions["eu"].key, region="eu")
    assert job.options["headers"] == {"Authorization": "Bearer s3cret"}
    assert (job.options["degraded_ms"], job.retries) == (250, 2)
    with pytest.raises(wire.WireError):
        wire.parse_job(jobs["probe.eu"], region_key=cast.regions["us"].key, region="us")
    assert "s3cret" not in str(Check.objects.values_list("options", flat=True))


def test_an_extra_slot_of_an_older_revision_is_not_sent(cast: Cast) -> None:
    row = check(cast)
    assert due_now(check_id=row.id, revision=2, slot=NOW_MS) is None


def test_due_checks_is_one_scan(cast: Cast, django_assert_num_queries: Any) -> None:
    for _ in range(5):
        check(cast)
    with django_assert_num_queries(1):
        due_checks(after_ms=NOW_MS + 10_000, until_ms=NOW_MS + 20_000)


def test_a_job_carries_what_its_region_saw_last(cast: Cast, sent: list[tuple[str, dict[str, Any]]]) -> None:
    """A signed result sets the baseline of its region's next job; a late run and an older revision's run do not."""
    row = check(cast, kind="dns", target="e.test", options={"notice_change": True})
    region = cast.regions["eu"]

    def came(slot: int, *answers: str) -> None:
        run = wire.Run(row.id, 1, slot, slot, 5, Verdict.UP, None, "", {"baseline": {"answers": list(answers)}})
        body = wire.runs_body([wire.encode_run(run)])
        ingest(signed(body, region="eu", key=region.key, sent_at=slot), memory=Memory(), now=NOW)

    def carried() -> dict[str, Any]:
        sent.clear()
        revision = Check.objects.get(pk=row.pk).revision
        due = due_now(check_id=row.id, revision=revision, slot=NOW_MS)
        assert due is not None
        dispatch.send([due], now_ms=NOW_MS)
        return {queue: batch["jobs"][0]["baseline"] for queue, batch in sent}

    assert carried() == {"probe.eu": None, "probe.us": None}
    came(NOW_MS - 10_000, "a")
    came(NOW_MS - 20_000, "older")
    assert carried() == {"probe.eu": {"answers": ["a"]}, "probe.us": None}
    check_commands.edit_check(
        actor=SYSTEM, check_id=row.id, changes={"target": "f.test"}, resource=None, now=NOW + timedelta(seconds=1)
    )
    assert carried() == {"probe.eu": None, "probe.us": None}


def test_an_extra_slot_meets_the_bound_that_ticks_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allowed backlog follows from the jobs of the latest ticks, not from the extra slot's single job."""

    class Producer:
        class connection:
            channel_errors = (LookupError,)

        class channel:
            waiting = 0

            @classmethod
            def queue_declare(cls, queue: str, passive: bool) -> Any:
                return SimpleNamespace(message_count=cls.waiting)

    monkeypatch.setattr(dispatch, "_sent_lately", {})
    monkeypatch.setattr(dispatch, "_backed_up", set())
    region = Region(slug="busy")
    tick, waiting = 20 * wire.MAX_JOBS, 100
    Producer.channel.waiting = waiting
    assert dispatch._is_backed_up(Producer, region, 1)
    assert not dispatch._is_backed_up(Producer, region, tick)
    assert not dispatch._is_backed_up(Producer, region, 1)
    Producer.channel.waiting = 10 * waiting
    assert dispatch._is_backed_up(Producer, region, tick)
