"""Commands on checks (create, edit, pause, resume, delete, run now): revisions, extra slots, unsettled time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.core.clock import from_ms, to_ms
from apps.incidents import selectors
from apps.incidents.models import Incident
from apps.incidents.services import check_commands, incident_commands
from apps.monitors.dispatch_cursor import advance_cursor
from apps.monitors.models import Check, DispatchCursor
from apps.orgs.actors import SYSTEM
from tests.conftest import NOW, NOW_MS, Cast
from tests.incidents.test_evaluate import status, uptime
from tests.incidents.world import World


def test_a_check_begins_with_a_state_row_and_an_extra_slot_now(
    cast: Cast, woken: list[object], django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]  # pytest-django's fixture
        world = World(cast)
    row = world.row()
    assert (row.due, row.slot, row.extras, row.status) == (NOW_MS, NOW_MS - 1, [NOW_MS], "pending")
    assert woken == [(check_commands.DISPATCH_TASK, {"check": str(world.check.id), "revision": 1, "slot": NOW_MS})]


def test_regular_slots_of_a_revision_begin_after_the_dispatch_cursor(cast: Cast) -> None:
    DispatchCursor.objects.create(id=1, sent_until_ms=NOW_MS + 1_900)
    assert World(cast).check.since_ms == NOW_MS + 1_901


def test_an_edit_of_what_is_probed_cuts_and_a_new_name_does_not(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    next_one = world.slots(1)[0]
    check_commands.edit_check(actor=SYSTEM, check_id=world.check.id, changes={"name": "renamed"}, resource=None, now=world.moment)
    world.check.refresh_from_db()
    assert (world.check.name, world.check.revision) == ("renamed", 1)
    later = from_ms(world.slots(3)[2] + 3_000)
    check_commands.edit_check(actor=SYSTEM, check_id=world.check.id, changes={"timeout_s": 4}, resource=None, now=later)
    row = world.row()
    assert Check.objects.get(pk=world.check.pk).revision == 2
    assert (row.due, row.slot, row.extras[-1]) == (to_ms(later), to_ms(later) - 1, to_ms(later))
    assert uptime(world, to_ms(later))["unknown"] == to_ms(later) - next_one


@pytest.mark.parametrize(("change", "expected"), [({"timeout_s": 4}, "down"), ({"target": "http://127.0.0.1:2/"}, "warn")])
def test_a_new_target_clears_unconfirmed_streaks(cast: Cast, change: dict[str, object], expected: str) -> None:
    world = World(cast, fail_after=2)
    world.vote(world.first, eu="down")
    check_commands.edit_check(actor=SYSTEM, check_id=world.check.id, changes=change, resource=None, now=world.moment)
    world.check.refresh_from_db()
    world.revision = 2
    world.vote(world.row().due, eu="down")
    assert status(world) == expected


def test_a_pause_is_paused_time_and_keeps_the_incident(cast: Cast) -> None:
    world = World(cast)
    slots = world.slots(2)
    world.vote(world.first, eu="up")
    world.vote(slots[0], eu="down")
    paused_at = slots[0] + 4_000
    check_commands.pause_check(actor=SYSTEM, check_id=world.check.id, now=from_ms(paused_at))
    assert status(world, paused_at + 500_000) == "paused"
    assert world.incidents()[0].status == "open"
    resumed_at = paused_at + 60_000
    check_commands.resume_check(actor=SYSTEM, check_id=world.check.id, now=from_ms(resumed_at))
    world.check.refresh_from_db()
    world.revision = 3
    world.vote(resumed_at, eu="up")
    assert uptime(world, resumed_at + 1)["paused"] == 60_000
    assert world.events() == ["incident.opened", "incident.resolved"]
    (incident,) = world.incidents()
    assert incident.downtime_ms == 4_000


def test_pausing_twice_is_pausing_once(cast: Cast) -> None:
    world = World(cast)
    for seconds in (1, 2):
        check_commands.pause_check(actor=SYSTEM, check_id=world.check.id, now=NOW + timedelta(seconds=seconds))
    assert Check.objects.get(pk=world.check.pk).revision == 2
    assert world.check.pauses.count() == 1


def test_deleting_in_an_outage_resolves_and_tells_once(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    check_commands.delete_check(actor=SYSTEM, check_id=world.check.id, now=world.moment)
    (incident,) = world.incidents()
    assert (incident.status, incident.resolution) == ("resolved", "check_deleted")
    assert world.events() == ["incident.opened", "incident.resolved"]
    with pytest.raises(Check.DoesNotExist):
        check_commands.delete_check(actor=SYSTEM, check_id=world.check.id, now=world.moment)


def test_run_now_pressed_again_answers_with_the_same_slot(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    at = from_ms(world.first + 6_000)
    slot = check_commands.run_now(actor=SYSTEM, check_id=world.check.id, now=at)
    assert check_commands.run_now(actor=SYSTEM, check_id=world.check.id, now=at + timedelta(seconds=2)) == slot
    assert check_commands.run_now(actor=SYSTEM, check_id=world.check.id, now=at + timedelta(seconds=60)) > slot
    assert len(world.row().extras) == 3


def test_an_extra_run_steps_between_two_regular_ones(cast: Cast) -> None:
    world = World(cast)
    first, second = world.slots(2)
    world.vote(world.first, eu="up")
    world.vote(first, eu="up")
    slot = check_commands.run_now(actor=SYSTEM, check_id=world.check.id, now=from_ms(first + 6_000))
    world.vote(slot, eu="down")
    world.vote(second, eu="up")
    (incident,) = world.incidents()
    assert incident.downtime_ms == second - slot


def test_a_paused_check_is_not_run(cast: Cast) -> None:
    world = World(cast)
    check_commands.pause_check(actor=SYSTEM, check_id=world.check.id, now=NOW)
    with pytest.raises(check_commands.StateForbidsError):
        check_commands.run_now(actor=SYSTEM, check_id=world.check.id, now=NOW)


def test_a_person_cannot_resolve_what_still_fails_but_may_while_paused(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    (incident,) = world.incidents()
    with pytest.raises(check_commands.StateForbidsError, match="still fails"):
        incident_commands.resolve_incident(actor=SYSTEM, incident=incident, now=world.moment)
    check_commands.pause_check(actor=SYSTEM, check_id=world.check.id, now=world.moment)
    resolved = incident_commands.resolve_incident(actor=SYSTEM, incident=incident, now=world.moment)
    assert (resolved.status, resolved.resolution) == ("resolved", "person")
    assert world.events() == ["incident.opened", "incident.resolved"]
    assert world.row().level == 0


def test_an_acknowledged_incident_still_resolves_by_recovery(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    incident_commands.acknowledge_incident(actor=SYSTEM, incident=world.incidents()[0], user=cast.alice, now=world.moment)
    world.vote(world.slots(1)[0], eu="up")
    (incident,) = world.incidents()
    assert (incident.status, incident.acknowledged_by) == ("resolved", cast.alice)
    with pytest.raises(check_commands.StateForbidsError):
        incident_commands.acknowledge_incident(actor=SYSTEM, incident=incident, user=cast.alice, now=world.moment)


def test_what_opened_in_a_pause_of_messages_is_told_by_its_own_incident(cast: Cast) -> None:
    """The resolved event names the same incident as the opened event."""
    world = World(cast)
    world.vote(world.first, eu="down")
    first = Incident.objects.get()
    world.vote(world.slots(1)[0], eu="up")
    last_notified = [event.incident_id for event in world.check.events.order_by("seq")]
    assert last_notified == [first.pk, first.pk]


def test_a_tick_takes_each_span_once_and_skips_what_is_long_past(db: None) -> None:
    assert advance_cursor(now=NOW) == (NOW_MS, NOW_MS + 2_000)
    assert advance_cursor(now=NOW + timedelta(seconds=1)) == (NOW_MS + 2_000, NOW_MS + 3_000)
    assert advance_cursor(now=NOW + timedelta(minutes=2)) == (NOW_MS + 118_000, NOW_MS + 122_000)
    assert selectors.open_pauses([]) == {}
