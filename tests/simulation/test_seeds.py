"""Seeded histories in which many faults happen at once; a failing seed can be run again by its number.

`make simulate SEEDS=10000` runs that many seeds; `GORUPTIME_SEEDS=4711-4711` runs one.
"""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise

import pytest
from django.db import transaction
from django.db.transaction import Atomic

from apps.incidents.models import CheckState, Incident, IncidentEvent
from apps.monitors.models import Check
from apps.notifications.models import Delivery
from apps.results.models import HEALTHS, CheckRun, DeadLetter, StateInterval
from tests.conftest import Cast
from tests.simulation.world import Site, World

_made = Atomic.__init__
FIRST, _, LAST = os.environ.get("GORUPTIME_SEEDS", "1-200").rpartition("-")


@pytest.mark.parametrize("seed", range(int(FIRST or 1), int(LAST) + 1))
def test_the_laws_hold_whatever_goes_wrong(seed: int, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    # The test runs inside a transaction, so the transactions of the product are savepoints here.
    monkeypatch.setattr(Atomic, "__init__", lambda atomic, using, _savepoint, durable: _made(atomic, using, True, durable))
    world = World(cast, seed, monkeypatch)
    world.run()
    assert DeadLetter.objects.count() == 0
    for site in world.sites:
        _runs(site)
        _intervals(site)
        _incidents(world, site)
        _end(world, site)
    _messages(world)


@pytest.mark.parametrize("seed", [3, 7, 12])
def test_a_seed_is_the_same_history_again(seed: int, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Atomic, "__init__", lambda atomic, using, _savepoint, durable: _made(atomic, using, True, durable))
    histories = []
    for _ in range(2):
        before = transaction.savepoint()
        World(cast, seed, monkeypatch).run()
        runs = list(
            CheckRun.objects.order_by("check_id", "region_id", "slot").values_list("check_id", "slot", "recorded_after_s")
        )
        histories.append(
            (runs, list(StateInterval.objects.order_by("check_id", "start").values_list("check_id", "start", "shown")))
        )
        transaction.savepoint_rollback(before)
    assert len(histories[0][0]) > 5
    assert histories[0] == histories[1]


def _runs(site: Site) -> None:
    """Assert that every run belongs to a regular or extra slot. (The primary key rules out duplicates.)"""
    check, row = Check.objects.get(pk=site.check.pk), CheckState.objects.get(pk=site.check.pk)
    for run in CheckRun.objects.filter(check_id=check.pk):
        assert run.slot in row.extras or (run.slot - check.phase_ms) % check.interval_ms == 0


def _intervals(site: Site) -> None:
    """Assert that intervals begin by the first slot, have distinct starts, and show unknown where they are unknown.

    A confirmed outage must not rewrite unknown time, nor may known time turn unknown.
    """
    rows = list(StateInterval.objects.filter(check_id=site.check.pk).order_by("start").values_list("start", "own", "shown"))
    assert rows[0][0] == site.check.since_ms or rows[0][0] <= site.state.due
    assert len({start for start, _, _ in rows}) == len(rows)
    assert all((own == 0) == (shown == 0) for _, own, shown in rows)


def _incidents(world: World, site: Site) -> None:
    """Assert that incidents do not overlap and that each begins at a slot that enough regions rightly saw as down."""
    check = Check.objects.get(pk=site.check.pk)
    incidents = list(Incident.objects.filter(check_row=check).order_by("started_at"))
    for incident, following in pairwise(incidents):
        assert incident.resolved_at is not None
        assert incident.resolved_at <= following.started_at
    for incident in incidents:
        slot = int(incident.started_at.timestamp() * 1000 + 0.5)
        downs = CheckRun.objects.filter(check_id=check.pk, slot=slot, verdict=HEALTHS.index("down")).count()
        assert downs >= (check.quorum or 1)
        if not any(worker.is_blind for worker in world.workers.values()):
            assert any(site.is_down(slot) for slot in [slot])


def _end(world: World, site: Site) -> None:
    """Assert that the calm period ends with the check up and reported as up, unless a worker is blind."""
    row = CheckState.objects.get(pk=site.check.pk)
    if any(worker.is_blind for worker in world.workers.values()):
        return
    assert (row.status, row.level, row.last_notified) == ("up", 0, 0)
    if (
        world.faults.is_tame
        and world.core_silent[0] == world.core_silent[1]
        and all(worker.silent[0] == worker.silent[1] for worker in world.workers.values())
    ):
        _every_outage_was_told(world, site)


def _every_outage_was_told(world: World, site: Site) -> None:
    """Assert, for a history without losses, that every outage long enough to be confirmed has an incident."""
    check = Check.objects.get(pk=site.check.pk)
    needed = (check.fail_after + 1) * check.interval_ms
    incidents = [
        (int(i.started_at.timestamp() * 1000 + 0.5), int(i.resolved_at.timestamp() * 1000 + 0.5) if i.resolved_at else 2**62)
        for i in Incident.objects.filter(check_row=check)
    ]
    for start, end in site.outages:
        if end - start >= needed:
            assert any(begun < end and resolved > start for begun, resolved in incidents), (start, end, incidents)


def _messages(world: World) -> None:
    """Assert that events are numbered without gaps and sent in order, and once unless a sender died."""
    for site in world.sites:
        events = list(IncidentEvent.objects.filter(check_row=site.check).order_by("seq"))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert all(event.expanded_at for event in events)
        kinds = [event.kind for event in events]
        assert kinds == ["incident.opened", "incident.resolved"] * (len(kinds) // 2) + kinds[len(kinds) // 2 * 2 :]
        deliveries = list(Delivery.objects.filter(check_row=site.check).order_by("seq"))
        assert [(delivery.seq, delivery.status) for delivery in deliveries] == [(event.seq, "sent") for event in events]
        keys = [str(delivery.id) for delivery in deliveries]
        heard = [message.key for message in world.last_notified if message.key in keys]
        assert list(dict.fromkeys(heard)) == keys
    often = {key for key, count in Counter(message.key for message in world.last_notified).items() if count > 1}
    assert often <= world.may_repeat
