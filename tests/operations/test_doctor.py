"""The doctor finds nothing wrong with a healthy installation and names each problem; the lease of beat; `/metrics`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from celery import current_app
from celery.beat import ScheduleEntry, Service
from celery.schedules import schedule
from django.test import Client, override_settings

from apps.monitors.beat_lease import BEAT_LEASE, acquire_beat_lease
from apps.monitors.models import BeatLease, DispatchCursor, Region
from apps.monitors.regions import WorkerReport, record_region_message
from apps.operations.doctor import findings
from apps.operations.figures import QUEUES, Figures, RegionFigures, figures
from apps.orgs.models import User
from apps.pipeline.beat import EmbeddedScheduler, PairScheduler
from apps.probes import wire
from apps.results.dead_letters import add_dead_letter
from apps.results.models import DeadLetter
from goruptime.celery import app
from tests.conftest import NOW, NOW_MS, Cast

EU = RegionFigures("eu", True, 1, 12, 0, False, 3, 0)
WELL = Figures(
    dispatch_behind_s=-1.2, queues=dict.fromkeys(QUEUES, 0), regions=(EU,), dead_letters={}, oldest_dead_letter_s=None, outbox=0,
    oldest_event_s=None, due_deliveries=0, oldest_delivery_s=None, database_ms=0.4, partition_days_ahead=3,
    oldest_partition_days=2, rolled_up_behind_s=1_800,
)  # fmt: skip


def test_a_healthy_installation_has_no_finding() -> None:
    assert findings(WELL) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"failed_by_ourselves": 3}, "3 deliveries of the last hour failed in our own code"),
        ({"dispatch_behind_s": None}, "No slot was ever sent"),
        ({"dispatch_behind_s": 40}, "beat does not run"),
        ({"dispatch_behind_s": 40, "queues": {**WELL.queues, "tick": 9}}, "the worker of the queue tick"),
        ({"queues": dict.fromkeys(QUEUES)}, "The broker does not answer"),
        ({"queues": {**WELL.queues, "ingest": 400}}, "400 messages with results wait to be taken."),
        ({"queues": {**WELL.queues, "ingest": 400}, "database_ms": 80}, "the database is slow (80 ms a round trip)"),
        ({"queues": {**WELL.queues, "notify": 400}}, "messages to people come late"),
        ({"regions": ()}, "no region"),
        ({"regions": (replace(EU, is_live=False),)}, "The region eu is silent"),
        ({"regions": (replace(EU, drops_lately=True, lag_ms=900),)}, "cannot keep up: slots were dropped in the last minute (its loop lags 900 ms"),
        ({"regions": (replace(EU, waiting=90),)}, "90 batches wait for the region eu"),
        ({"regions": (replace(EU, offset_ms=-3_000),)}, "off by -3.0 s"),
        ({"oldest_event_s": 90, "outbox": 2}, "2 events wait to be told, the oldest for 90 s"),
        ({"oldest_delivery_s": 90, "due_deliveries": 7}, "7 deliveries are due"),
        ({"dead_letters": {"row": 3}, "oldest_dead_letter_s": 7_200}, "3 of row, the oldest 2 h old"),
        ({"partition_days_ahead": 0}, "no partition for tomorrow"),
        ({"rolled_up_behind_s": 20_000}, "Rollups are 6 h behind"),
        ({"oldest_partition_days": 9}, "9 days ago are not packed"),
    ],
)  # fmt: skip
def test_it_names_what_is_wrong(change: dict[str, Any], words: str) -> None:
    found = findings(replace(WELL, **change))
    assert any(words in finding.what for finding in found), found
    assert all(finding.advice for finding in found)


def test_its_figures_are_those_of_the_database(cast: Cast) -> None:
    DispatchCursor.objects.update_or_create(pk=1, defaults={"sent_until_ms": NOW_MS - 9_000})
    report = WorkerReport("a", 1, wire.Heartbeat(is_settled=True, offset_ms=4, in_flight=7, dropped={"late": 2}, lag_ms=30))
    record_region_message(region_id=cast.regions["eu"].id, sent_at=NOW_MS, report=report, now=NOW)
    other = WorkerReport("b", 1, wire.Heartbeat(is_settled=True, offset_ms=4, in_flight=5, dropped={"late": 2}, lag_ms=30))
    record_region_message(region_id=cast.regions["eu"].id, sent_at=NOW_MS, report=other, now=NOW)
    add_dead_letter(origin=DeadLetter.Origin.ROW, error="x", content="y", now=NOW - timedelta(hours=2))
    seen = figures(now=NOW)
    assert seen.dispatch_behind_s == 9
    assert (seen.dead_letters, seen.oldest_dead_letter_s) == ({"row": 1}, 7_200)
    eu = next(region for region in seen.regions if region.slug == "eu")
    assert (eu.workers, eu.in_flight, eu.drops_lately, eu.lag_ms) == (2, 12, True, 30)
    region = Region.objects.get(slug="eu")
    assert (region.in_flight, region.dropped) == (12, {"late": 4})


def test_a_worker_that_is_gone_is_counted_no_more(cast: Cast) -> None:
    report = WorkerReport("a", 1, wire.Heartbeat(is_settled=True, offset_ms=4, in_flight=7, dropped={"late": 2}))
    record_region_message(region_id=cast.regions["eu"].id, sent_at=NOW_MS, report=report, now=NOW)
    later = NOW + timedelta(seconds=40)
    other = WorkerReport("b", 1, wire.Heartbeat(is_settled=True, offset_ms=4, in_flight=7, dropped={}))
    record_region_message(region_id=cast.regions["eu"].id, sent_at=NOW_MS + 40_000, report=other, now=later)
    region = Region.objects.get(slug="eu")
    assert (region.in_flight, region.dropped, list(region.workers)) == (7, {}, ["b"])


def test_operators_see_it_and_nobody_else(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)
    assert client.get("/admin/doctor/").status_code == 302
    operator = User.objects.create_user("op@example.org", "correct horse", is_staff=True, is_superuser=True)
    client.force_login(operator)
    page = client.get("/admin/doctor/").content.decode()
    assert "There is no region" not in page
    assert "Doctor" in page


@override_settings(METRICS_TOKEN="scraper")
def test_metrics_are_for_who_has_the_token(db: None) -> None:
    client = Client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 401
    answer = client.get("/metrics", headers={"Authorization": "Bearer scraper"})
    assert answer.status_code == 200
    assert 'db_query_duration_seconds_count{operation="select"}' in answer.content.decode()


def test_of_two_beats_one_leads_until_its_lease_ends(db: None) -> None:
    assert acquire_beat_lease(holder="a")
    assert not acquire_beat_lease(holder="b")
    assert acquire_beat_lease(holder="a")
    BeatLease.objects.update(until=BeatLease.objects.get().until - 2 * BEAT_LEASE)
    assert acquire_beat_lease(holder="b")
    assert not acquire_beat_lease(holder="a")


class Entry:
    """A periodic entry that is always due, and again in half a second."""

    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = MappingProxyType({})

    def __init__(self, task: str) -> None:
        self.name = self.task = task

    def __next__(self) -> Entry:
        return self

    def is_due(self) -> tuple[bool, float]:
        return True, 0.5


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """Give schedulers two entries instead of the database's, whose own connection handling ends a test's transaction."""
    found = {task: Entry(task) for task in ("pipeline.tick", "pipeline.sweep_passive")}
    monkeypatch.setattr("django_celery_beat.schedulers.DatabaseScheduler.__init__", lambda self, *_a, **_k: None)
    monkeypatch.setattr("django_celery_beat.schedulers.DatabaseScheduler.schedule", property(lambda _self: found))
    monkeypatch.setattr("django_celery_beat.schedulers.DatabaseScheduler._dirty", set(), raising=False)
    monkeypatch.setattr(PairScheduler, "producer", None)
    return found


def test_a_beat_without_the_lease_sends_nothing(db: None, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(PairScheduler, "apply_async", lambda beat, entry, **_k: sent.append((beat._holder, entry.task)))
    first, second = PairScheduler(), PairScheduler()
    for beat in (first, second, first, second):
        assert beat.tick() <= 1
    assert sent == [(first._holder, task) for task in entries] * 2


@pytest.mark.parametrize("scheduler", [PairScheduler, EmbeddedScheduler])
def test_an_entry_that_was_sent_is_due_again_only_after_its_interval(
    db: None, entries: dict[str, Any], monkeypatch: pytest.MonkeyPatch, scheduler: type[PairScheduler]
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(scheduler, "apply_async", lambda _beat, entry, **_k: sent.append(entry.name))
    long_ago = datetime.now(tz=UTC) - timedelta(days=1)
    entries.clear()
    entries |= {
        name: ScheduleEntry(name=name, task="pipeline.tick", schedule=schedule(seconds), last_run_at=long_ago, app=app)
        for name, seconds in (("each second", timedelta(seconds=1)), ("each half minute", timedelta(seconds=30)))
    }
    beat = scheduler()
    for _ in range(3):
        assert 0 < beat.tick() <= 1
    assert sorted(sent) == ["each half minute", "each second"]


def test_an_embedded_beat_runs_each_task_in_a_thread_and_never_twice_at_once(
    db: None, entries: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, begun = threading.Event(), []

    def slow(self: Any, *_arguments: Any, **_options: Any) -> None:
        begun.append((self.name, threading.get_ident()))
        may_end.wait(10)

    monkeypatch.setattr("apps.pipeline.timed.TimedTask.__call__", slow)
    app.loader.import_default_modules()
    beat = EmbeddedScheduler()
    beat.app = app
    for _ in range(3):  # both still run
        beat.tick()
    may_end.set()
    beat._threads.shutdown()
    assert sorted(name for name, _ in begun) == sorted(entries)
    assert len({thread for _, thread in begun} - {threading.get_ident()}) == 2


def test_a_beat_that_is_told_to_end_asks_the_database_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM may interrupt a query; its handler runs in the same thread, which already holds the connection's lock."""
    saved: list[object] = []
    monkeypatch.setattr("django_celery_beat.schedulers.DatabaseScheduler.sync", lambda beat: saved.append(beat))
    beat = PairScheduler(app=current_app, lazy=True)
    service = Service(app=current_app)
    service.__dict__["scheduler"] = beat
    service.sync()  # what Celery's handler of SIGTERM calls
    assert saved == []
