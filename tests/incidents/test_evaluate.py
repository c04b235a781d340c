"""Evaluation of recorded runs into states, intervals, incidents and events, against a real database."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.db import connection, connections

from apps.core.clock import from_ms, to_ms
from apps.incidents import history, selectors
from apps.incidents.models import CheckState, Incident, IncidentEvent
from apps.incidents.services.evaluate import evaluate_checks, unevaluated_checks
from apps.incidents.services.fast_path import FreshVote
from apps.results.models import CheckRun, DeadLetter, StateInterval
from tests.conftest import NOW, Cast, make_live
from tests.incidents.world import World


def status(world: World, at: int | None = None) -> str:
    world.check.refresh_from_db()
    pauses = selectors.open_pauses([world.check])
    moment = from_ms(at or world.now)
    return selectors.shown_state(check=world.check, row=world.row(), pause=pauses.get(world.check.id), now=moment).status


def uptime(world: World, at: int) -> dict[str, int]:
    world.check.refresh_from_db()
    sums = history.uptime(check=world.check, start=NOW, end=from_ms(at))
    parts = {name: getattr(sums, name) for name in ("up", "degraded", "down", "unknown", "paused")}
    assert sum(parts.values()) == sums.end - sums.start
    return {name: value for name, value in parts.items() if value}


def test_a_site_goes_red_and_green_and_every_figure_agrees(cast: Cast) -> None:
    world = World(cast)
    slots = world.slots(6)
    world.vote(world.first, eu="up")
    assert status(world) == "up"
    for slot, verdict in zip(slots, ["up", "down", "down", "up", "up", "up"], strict=True):
        world.vote(slot, eu=verdict)
    (incident,) = world.incidents()
    assert (incident.started_at, incident.resolved_at) == (from_ms(slots[1]), from_ms(slots[3]))
    assert incident.downtime_ms == slots[3] - slots[1]
    assert (incident.reason, incident.message) == ("connect_refused", "127.0.0.1:1 refused the connection")
    assert world.events() == ["incident.opened", "incident.resolved"]
    assert status(world) == "up"
    sums = uptime(world, slots[5] + 1_000)
    assert sums["down"] == incident.downtime_ms
    assert sums["up"] == slots[5] + 10_000 - world.first - incident.downtime_ms - (slots[5] + 10_000 - slots[5] - 1_000)


def test_the_same_rows_twice_or_late_change_nothing(cast: Cast) -> None:
    world = World(cast)
    slots = world.slots(2)
    world.vote(world.first, eu="up")
    world.vote(slots[0], eu="down")
    before = world.row().__dict__ | {"_state": None}
    world.vote(slots[0], eu="down")
    world.vote(slots[0], eu="up")
    assert world.row().__dict__ | {"_state": None} == before
    assert CheckRun.objects.filter(check_id=world.check.id).count() == 2
    assert len(world.incidents()) == 1


def test_two_regions_that_disagree_warn_and_open_nothing(cast: Cast) -> None:
    world = World(cast, regions=("eu", "us"), quorum=2)
    slots = world.slots(3)
    world.vote(world.first, eu="up", us="up")
    world.vote(slots[0], eu="down", us="up")
    assert (status(world), world.incidents()) == ("warn", [])
    assert world.row().reason == "regions_disagree"
    world.vote(slots[1], eu="down", us="down")
    assert status(world) == "down"
    assert len(world.incidents()) == 1


@pytest.mark.parametrize(("quorum", "expected"), [(2, "unknown"), (None, "down")])
def test_a_dead_region_leaves_unknown_or_lets_the_other_decide(cast: Cast, quorum: int | None, expected: str) -> None:
    world = World(cast, regions=("eu", "us"), quorum=quorum)
    world.vote(world.first, eu="up", us="up")
    for slot in world.slots(6):
        world.vote(slot, eu="down")
    make_live(cast.regions["us"], world.first)
    world.evaluate(world.slots(6)[-1] + 6_000)
    assert status(world) == expected


def test_silence_of_the_core_is_unknown_time_without_a_message(cast: Cast) -> None:
    world = World(cast)
    slots = world.slots(14)
    world.vote(world.first, eu="up")
    world.vote(slots[0], eu="up")
    world.vote(slots[13], eu="up")
    assert status(world) == "unknown"
    world.evaluate(slots[13] + 5_200)
    assert (status(world), world.events()) == ("up", [])
    assert uptime(world, slots[13] + 100)["unknown"] == slots[13] - slots[1]


def test_what_was_down_in_a_long_backlog_is_no_news(cast: Cast) -> None:
    world = World(cast)
    slots = world.slots(3)
    world.vote(world.first, evaluate=False, eu="up")
    for slot, verdict in zip(slots, ["down", "down", "up"], strict=True):
        world.vote(slot, evaluate=False, eu=verdict)
    world.evaluate(slots[-1] + 1_000_000)
    assert len(world.incidents()) == 1
    assert world.events() == []


def test_a_row_of_an_older_revision_never_steps(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    world.revision = 7
    world.vote(world.slots(1)[0], eu="down")
    assert status(world) == "up"


def test_a_run_beside_the_grid_is_kept_and_counts_for_nothing(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    world.vote(world.slots(1)[0] + 3, eu="down")
    assert status(world) == "up"
    assert CheckRun.objects.count() == 2


def test_a_check_that_fails_is_one_dead_letter_and_the_others_go_on(cast: Cast) -> None:
    broken, fine = World(cast, name="broken"), World(cast, name="fine")
    broken.vote(broken.first, evaluate=False, eu="up")
    fine.vote(fine.first, evaluate=False, eu="up")
    # A check that counts as reported down but has no incident cannot be evaluated: its resolved event has none to name.
    CheckState.objects.filter(pk=broken.check.pk).update(last_notified=2)
    for _ in range(2):
        evaluate_checks(check_ids=[broken.check.id, fine.check.id], now=from_ms(fine.now))
    assert fine.row().status == "up"
    assert broken.row().status == "pending"
    assert DeadLetter.objects.filter(origin="evaluation", check_id=broken.check.id).count() == 1


def test_the_sweep_finds_votes_that_nobody_evaluated(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, evaluate=False, eu="up")
    assert unevaluated_checks(now=from_ms(world.first + 2_000)) == [world.check.id]
    world.evaluate()
    assert unevaluated_checks(now=from_ms(world.first + 2_000)) == []


def test_intervals_have_no_overlap_and_no_hole(cast: Cast) -> None:
    world = World(cast, fail_after=2, recover_after=2)
    world.vote(world.first, eu="up")
    for slot, verdict in zip(
        world.slots(9), ["down", "down", "unknown", "down", "up", "up", "degraded", "degraded", "up"], strict=True
    ):
        world.vote(slot, eu=verdict)
    starts = list(StateInterval.objects.filter(check_id=world.check.id).order_by("start").values_list("start", "shown"))
    assert starts[0][0] == world.first
    down = next(incident for incident in world.incidents() if incident.severity == "down")
    assert down.downtime_ms == 30_000  # four intervals long, one of them unknown
    assert down.resolved_at is not None
    assert to_ms(down.resolved_at) - to_ms(down.started_at) == 40_000


def test_a_steady_check_costs_no_statement_of_its_own(cast: Cast, django_assert_num_queries: object) -> None:
    worlds = [World(cast, name=f"site {i}") for i in range(8)]
    for world in worlds:
        world.vote(world.first, eu="up")
        world.vote(world.slots(1)[0], eu="up")
    late = max(world.slots(2)[1] for world in worlds)

    def queries(some: list[World]) -> int:
        for world in some:
            world.vote(world.slots(2)[1], evaluate=False, eu="up")
        with django_assert_num_queries(8):  # type: ignore[operator]  # pytest-django's fixture
            assert evaluate_checks(check_ids=[world.check.id for world in some], now=from_ms(late + 300)) == len(some)
        return 8

    assert queries(worlds[:1]) == queries(worlds[1:])


def _fresh(world: World, slot: int, /, **changes: Any) -> dict[uuid.UUID, FreshVote]:
    given = {"slot": slot, "region_id": world.cast.regions["eu"].id, "revision": world.revision, "verdict": "up"}
    return {world.check.id: FreshVote(**{**given, **changes})}


def test_a_check_that_goes_on_is_stepped_without_its_runs_and_ends_as_the_long_way_would(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    short, long = World(cast, name="short"), World(cast, name="long")
    for world in (short, long):
        world.vote(world.first, eu="up")
        slots = world.slots(4)
        world.vote(slots[0], eu="up")
        for slot in slots[1:]:
            world.vote(slot, evaluate=world is long, eu="up")
            if world is short:
                with django_assert_num_queries(6):  # two of them create and release the savepoint that a test needs
                    evaluate_checks(check_ids=[world.check.id], now=from_ms(world.now), fresh=_fresh(world, slot))
    rows = [world.row() for world in (short, long)]
    offset = short.slots(1)[0] - long.slots(1)[0]
    assert rows[0].slot - offset == rows[1].slot
    assert (rows[0].due - rows[0].slot, rows[0].counted - rows[0].slot) == (10_000, 0)  # type: ignore[operator]  # counted
    for name in ("status", "level", "last_notified", "own", "shown", "reason"):
        assert getattr(rows[0], name) == getattr(rows[1], name)
    assert rows[0].streaks[::2] == rows[1].streaks[::2]
    assert StateInterval.objects.filter(check_id=short.check.id).count() == 1


@pytest.mark.parametrize("change", [{"verdict": "down"}, {"revision": 7}, {"region_id": 999}, {"slot": 1}])
def test_a_vote_that_is_more_than_going_on_is_looked_at(cast: Cast, change: dict[str, Any]) -> None:
    """The recorded runs are read in that case, and they alone count, not the vote that was passed in."""
    world = World(cast)
    world.vote(world.first, eu="up")
    slots = world.slots(2)
    world.vote(slots[0], eu="up")
    world.vote(slots[1], evaluate=False, eu="down" if change == {"verdict": "down"} else "up")
    evaluate_checks(check_ids=[world.check.id], now=from_ms(world.now), fresh=_fresh(world, slots[1], **change))
    assert world.row().slot == slots[1]
    assert status(world) == ("down" if "verdict" in change else "up")


@pytest.mark.django_db(transaction=True)
def test_two_consumers_at_the_same_moment_open_one_incident(transactional_cast: Cast) -> None:
    world = World(transactional_cast, regions=("eu", "us"))
    world.vote(world.first, eu="up", us="up")
    slot = world.slots(1)[0]
    world.vote(slot, evaluate=False, eu="down", us="down")
    barrier = threading.Barrier(2)

    def consume() -> None:
        try:
            barrier.wait(5)
            evaluate_checks(check_ids=[world.check.id], now=from_ms(world.now))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=consume) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert Incident.objects.count() == 1
    assert IncidentEvent.objects.count() == 1


@pytest.fixture
def transactional_cast(transactional_db: None, request: pytest.FixtureRequest) -> Cast:
    cast: Cast = request.getfixturevalue("cast")
    return cast


def test_the_database_itself_refuses_a_second_open_incident(cast: Cast) -> None:
    from django.db import IntegrityError, transaction

    world = World(cast)
    world.vote(world.first, eu="down")
    (incident,) = world.incidents()
    incident.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.create(**{f.name: getattr(incident, f.name) for f in Incident._meta.fields if f.name != "id"})
    assert connection.is_usable()
