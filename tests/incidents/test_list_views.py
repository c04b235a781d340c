from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.clock import from_ms, to_ms
from apps.incidents import list_views
from apps.incidents.labels import RANKS
from apps.incidents.models import CheckState, Incident
from apps.incidents.project_summary import problem_checks, summarize_project
from apps.incidents.selectors import open_pauses, rank_now, shown_state, status_now
from apps.incidents.services import check_commands
from apps.incidents.services.incident_commands import acknowledge_incident, add_update
from apps.incidents.timeline import moments
from apps.monitors.models import Check
from apps.orgs.actors import SYSTEM
from apps.results.bars import bar_of
from apps.results.selectors import RecentRunsQuery, recent_runs
from apps.results.uptime import Span, add_up, worst_of
from tests.conftest import NOW, NOW_MS, Cast
from tests.incidents.world import World

STATES = ("up", "degraded", "down", "unknown", "paused")


@pytest.fixture
def world(cast: Cast) -> World:
    return World(cast)


def test_the_databases_status_is_the_one_that_is_shown(cast: Cast) -> None:
    worlds = [World(cast, name=f"c{n}") for n in range(5)]
    for world, verdict in zip(worlds, ("up", "down", "degraded", "unknown", None), strict=True):
        if verdict:
            world.vote(world.first, eu=verdict)
    check_commands.pause_check(actor=SYSTEM, check_id=worlds[0].check.pk, now=NOW)
    World(cast, name="other")
    for after_s in (0, 1, 9, 11, 16, 18, 30, 100):
        now, happened = from_ms(NOW_MS + after_s * 1_000), []
        for check in Check.objects.annotate(found=status_now(now), rank=rank_now(now)):
            row, pause = CheckState.objects.get(check_row=check), open_pauses([check]).get(check.pk)
            status = shown_state(check=check, row=row, pause=pause, now=now).status
            assert (check.found, check.rank) == (status, RANKS[status]), after_s  # type: ignore[attr-defined]  # annotated
            happened.append(status)
        stands = summarize_project(project=cast.project, now=now)
        assert stands.counts == dict(Counter(happened)), after_s
        assert len(problem_checks(project=cast.project, limit=100, now=now)) == stands.problems


def test_a_summary_counts_and_its_version_turns_with_every_result(cast: Cast, world: World) -> None:
    before = summarize_project(project=cast.project, now=NOW)
    assert (before.counts, before.total, before.worst) == ({"pending": 1}, 1, "pending")
    assert summarize_project(project=cast.project, now=NOW).version == before.version
    world.vote(world.first, eu="down")
    after = summarize_project(project=cast.project, now=world.moment)
    assert (after.counts, after.open_incidents, after.worst) == ({"down": 1}, 1, "down")
    assert after.version != before.version
    acknowledge_incident(actor=SYSTEM, incident=Incident.objects.get(), user=cast.alice, now=world.moment)
    assert summarize_project(project=cast.project, now=world.moment).version != after.version
    assert summarize_project(project=cast.others_project, now=NOW).total == 0


def test_a_list_takes_the_same_queries_for_one_and_for_many(cast: Cast, django_assert_num_queries: Any) -> None:
    worlds = [World(cast, name=f"c{n}") for n in range(12)]
    for world in worlds:
        world.vote(world.first, eu="up")
    checks = list(Check.objects.order_by("name"))
    now = worlds[0].moment
    for count in (1, 12):
        with django_assert_num_queries(5):
            lines = list_views.check_lines(check_ids=[check.pk for check in checks[:count]], now=now)
        with django_assert_num_queries(5):
            list_views.resource_lines(resource_ids=[check.resource_id for check in checks[:count]], now=now)
    assert [line.state.status for line in lines] == ["up"] * 12
    assert all(line.bar.worst(47) == "up" for line in lines)


def listed(cast: Cast, world: World, start: int = 0, stop: int = 100, search: str = "") -> list[Any]:
    known = summarize_project(project=cast.project, now=world.moment)
    return list_views.resources_by_rank(
        project=cast.project, known=known, start=start, stop=stop, now=world.moment, search=search
    )


def test_resources_stand_worst_first_then_by_name_on_whichever_page(cast: Cast) -> None:
    worlds = {name: World(cast, name=name) for name in ("f", "e", "d", "c", "b", "a")}
    assert listed(cast, worlds["a"]) == [worlds[name].check.resource_id for name in "abcdef"], "all wait alike"
    for name, verdict in (("f", "up"), ("e", "down"), ("d", "degraded"), ("c", "down"), ("b", "up")):
        worlds[name].vote(worlds[name].first, eu=verdict)
    check_commands.pause_check(actor=SYSTEM, check_id=worlds["b"].check.pk, now=worlds["b"].moment)
    whole = [worlds[name].check.resource_id for name in "cedabf"]
    for start in range(7):
        for stop in range(start, 8):
            assert listed(cast, worlds["f"], start, stop) == whole[start:stop]
    assert listed(cast, worlds["f"], search="E") == [worlds["e"].check.resource_id]
    assert list_views.count_resources(project=cast.project) == 6
    assert list_views.count_resources(project=cast.project, search="E") == 1


def test_a_resource_shows_the_worst_of_its_checks(cast: Cast) -> None:
    one, two = World(cast, name="one"), World(cast, name="two")
    Check.objects.filter(pk=two.check.pk).update(resource=one.check.resource_id)
    one.vote(one.first, eu="up")
    two.vote(two.first, eu="down")
    found = listed(cast, two)
    assert found == [one.check.resource_id]
    line = list_views.resource_lines(resource_ids=found, now=two.moment)[0]
    assert (line.state.status, line.checks, line.bar.worst(47)) == ("down", 2, "down")


def test_a_round_of_three_regions_is_one_beat_with_each_regions_figure(cast: Cast) -> None:
    world = World(cast, regions=("eu", "us"))
    world.vote(world.first, eu="up", us="down")
    runs = recent_runs(wanted=[RecentRunsQuery(world.check.pk)], count=10, now_ms=to_ms(world.moment))[world.check.pk]
    beat = list_views.beats_of(runs, world.check, count=10, now=world.moment)[-1]
    assert (beat.state, beat.message) == ("degraded", "127.0.0.1:1 refused the connection")
    assert {region: verdict for region, _, verdict in beat.regions} == {
        cast.regions["eu"].pk: "up",
        cast.regions["us"].pk: "down",
    }


def test_a_timeline_tells_what_happened_in_order(cast: Cast, world: World) -> None:
    world.vote(world.first, eu="down")
    again, later = world.slots(2)
    world.vote(again, eu="down")
    incident = Incident.objects.get()
    acknowledge_incident(actor=SYSTEM, incident=incident, user=cast.alice, now=world.moment)
    add_update(
        actor=SYSTEM,
        incident=incident,
        author=cast.alice,
        text="It is the disk",
        is_public=False,
        now=world.moment + timedelta(seconds=1),
    )
    world.vote(later, eu="up")
    happened = moments(incident=Incident.objects.get())
    assert [moment.kind for moment in happened] == ["opened", "acknowledged", "update", "resolved"]
    assert happened[0].detail == "127.0.0.1:1 refused the connection"


spans = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(STATES)), max_size=12)


def laid(parts: list[tuple[int, str]], start: int = 0) -> list[Span]:
    found = []
    for length, state in parts:
        found.append(Span(start, start + length, state))
        start += length
    return found


@given(spans, st.integers(1, 30), st.integers(1, 10))
def test_cells_hold_every_millisecond_once(parts: list[tuple[int, str]], width: int, count: int) -> None:
    laid_out = laid(parts)
    found = bar_of(laid_out, start=0, width=width, count=count)
    whole = add_up(laid_out, 0, width * count)
    for state in STATES:
        assert sum(getattr(found.uptime(index), state) for index in range(count)) == getattr(whole, state)


@given(st.lists(spans, min_size=1, max_size=4))
def test_a_group_is_at_every_moment_as_bad_as_its_worst_member(groups: list[list[tuple[int, str]]]) -> None:
    members = [laid(parts) for parts in groups]
    found = worst_of(members)
    order = ("down", "degraded", "unknown", "maintenance", "up", "paused")
    for at in range(max((spans[-1].end for spans in members if spans), default=0)):
        now = [span.state for spans in members for span in spans if span.start <= at < span.end]
        shown = [span.state for span in found if span.start <= at < span.end]
        assert shown == ([min(now, key=order.index)] if now else [])


def test_a_project_without_checks_is_waiting(cast: Cast) -> None:
    assert summarize_project(project=cast.project, now=NOW).worst == "pending"
