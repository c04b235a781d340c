from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client

from apps.core.errors import FieldError
from apps.core.timed_postgres.client_timeout import connected
from apps.incidents.models import Incident
from apps.incidents.services.incident_commands import add_update
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Project
from apps.results.bars import Bar
from apps.results.uptime import Uptime
from apps.statuspages import views
from apps.statuspages.models import StatusPage
from apps.statuspages.selectors import ComponentLine, PublicIncident, condition_of, overall, view_of
from apps.statuspages.services import ComponentSpec, change_page, ensure_page
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World


@pytest.fixture
def world(cast: Cast) -> World:
    cache.clear()
    return World(cast, name="secret-backend", target="http://127.0.0.1:1/backstage")


def publish(world: World, **changes: Any) -> StatusPage:
    page = ensure_page(actor=SYSTEM, now=NOW, project=world.cast.project)
    values: dict[str, Any] = {"title": "Acme", "slug": "acme", "description": "", "is_published": True}
    components = [ComponentSpec(world.check.resource, "Checkout", "Shop")]
    return change_page(actor=SYSTEM, now=NOW, page=page, components=components, **{**values, **changes})


def test_a_page_is_private_until_it_is_published(world: World, django_capture_on_commit_callbacks: Any) -> None:
    publish(world, is_published=False)
    assert Client().get("/status/acme/").status_code == 404
    publish(world)
    assert Client().get("/status/acme/").status_code == 200
    with django_capture_on_commit_callbacks(execute=True):
        publish(world, is_published=False)  # the cached page is dropped with it
    assert Client().get("/status/acme/").status_code == 404
    assert Client().get("/status/acme.json").status_code == 404


def test_it_says_what_is_down_and_nothing_of_targets_or_reasons(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    page = publish(world)
    world.vote(world.first, eu="down")
    incident = Incident.objects.get()
    add_update(actor=SYSTEM, incident=incident, author=world.cast.alice, text="Internal words", is_public=False, now=world.moment)
    add_update(actor=SYSTEM, incident=incident, author=world.cast.alice, text="We are on it", is_public=True, now=world.moment)
    view = view_of(page=page, now=world.moment)
    assert (view.status, view.sentence) == ("down", "Checkout: major outage")
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.moment)
    for address in ("/status/acme/", "/status/acme.json"):
        body = Client().get(address).content.decode()
        assert "Checkout: major outage" in body
        assert "We are on it" in body
        for hidden in ("backstage", "secret-backend", "refused", "Internal words", "alice"):
            assert hidden not in body


def test_it_is_served_while_the_database_is_away(world: World, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    publish(world)
    fresh = Client().get("/status/acme/").content
    monkeypatch.setattr(views, "FRESH_MS", 0)

    def away(**_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(views, "published_page", away)
    kept = Client().get("/status/acme/")
    assert (kept.status_code, kept.content) == (200, fresh)
    assert "served as it was" in caplog.text


def test_it_waits_less_for_a_statement_than_the_server_would_and_one_nobody_saw_is_not_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(world)
    waits: list[int] = []

    def hangs(**_: Any) -> None:
        waits.append(connected(lambda timeout_s: timeout_s, 1_000))
        raise OperationalError("gone")

    monkeypatch.setattr(views, "published_page", hangs)
    assert Client().get("/status/acme/").status_code == 503
    assert waits == [4]


def test_what_is_hidden_while_it_could_not_be_made_anew_does_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    publish(world)
    assert Client().get("/status/acme/").status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(views, "FRESH_MS", 0)

        def hidden_meanwhile(**_: Any) -> None:
            with django_capture_on_commit_callbacks(execute=True):
                publish(world, is_published=False)
            raise OperationalError("gone")

        patch.setattr(views, "published_page", hidden_meanwhile)
        assert Client().get("/status/acme/").status_code == 200
    assert Client().get("/status/acme/").status_code == 404


@pytest.mark.parametrize(("old_ms", "visits"), [(30_000, 1), (0, 2)])
def test_while_one_visitor_waits_for_the_new_page_others_see_the_kept_one(
    world: World, monkeypatch: pytest.MonkeyPatch, old_ms: int, visits: int
) -> None:
    """A kept page that is too old is not shown, because it may contain what has been hidden since."""
    page = publish(world)
    fresh = Client().get("/status/acme/").content
    monkeypatch.setattr(views, "FRESH_MS", 0)
    monkeypatch.setattr(views, "_OLD_MS", old_ms)
    seen: list[bytes] = []

    def slow(**_: Any) -> StatusPage:
        seen.append(b"")
        if len(seen) == 1:
            seen[0] = Client().get("/status/acme/").content
        return page

    monkeypatch.setattr(views, "published_page", slow)
    assert Client().get("/status/acme/").status_code == 200
    assert len(seen) == visits
    assert b"Acme" in seen[0]
    assert visits > 1 or seen[0] == fresh


def test_a_page_is_asked_of_the_database_once_in_a_while(world: World, django_assert_num_queries: Any) -> None:
    publish(world)
    first = Client().get("/status/acme/")
    with django_assert_num_queries(0):
        again = Client().get("/status/acme/")
    assert again.content == first.content
    assert "sessionid" not in first.cookies
    assert first.headers["Cache-Control"] == "public, max-age=5"
    assert len(first.content) < 60_000


def test_the_queries_do_not_grow_with_the_components(cast: Cast, django_assert_num_queries: Any) -> None:
    page = ensure_page(actor=SYSTEM, now=NOW, project=cast.project)
    worlds = [World(cast, name=f"c{n}") for n in range(8)]
    for count in (1, 8):
        specs = [ComponentSpec(world.check.resource) for world in worlds[:count]]
        change_page(actor=SYSTEM, now=NOW, page=page, title="A", slug="a", description="", is_published=True, components=specs)
        with django_assert_num_queries(6):
            view_of(page=page, now=worlds[0].moment)


def test_two_pages_do_not_share_an_address(cast: Cast, world: World) -> None:
    publish(world)
    theirs = ensure_page(actor=SYSTEM, now=NOW, project=cast.others_project)
    with pytest.raises(FieldError):
        change_page(actor=SYSTEM, now=NOW, page=theirs, title="x", slug="acme", description="", is_published=True, components=[])
    twin = Project.objects.create(organization=cast.organization, name="acme")
    assert ensure_page(actor=SYSTEM, now=NOW, project=twin).slug != ensure_page(actor=SYSTEM, now=NOW, project=cast.project).slug


def test_the_api_makes_changes_and_refuses_others_resources(cast: Cast, world: World, api: Api, stranger: Api) -> None:
    page = api("POST", "status-pages/", {}).json()
    assert not page["is_published"]
    mine = {"components": [{"resource": str(world.check.resource_id), "name": "Shop"}], "is_published": True, "slug": "shop"}
    assert api("PATCH", f"status-pages/{page['id']}/", mine).json()["components"][0]["name"] == "Shop"
    assert stranger("GET", f"status-pages/{page['id']}/").status_code == 404
    theirs = stranger("POST", "status-pages/", {}).json()
    assert stranger("PATCH", f"status-pages/{theirs['id']}/", mine).status_code == 400
    assert stranger("PATCH", f"status-pages/{theirs['id']}/", {"slug": "shop"}).json()["error"]["details"].keys() == {"slug"}


def line(name: str, status: str) -> ComponentLine:
    return ComponentLine(name, "", status, condition_of([status]), Uptime(0, 1, up=1), Bar(0, 1, []))


@pytest.mark.parametrize(
    ("statuses", "titles", "status", "sentence"),
    [
        (["up", "up"], [], "up", "All systems operational"),
        (["up", "down"], [], "down", "B: major outage"),
        (["down", "down", "up"], [], "down", "Major outage: 2 of 3 components"),
        (["down", "down"], [], "down", "Major outage"),
        (["warn", "up"], [], "warn", "A: degraded performance"),
        (["down", "warn"], [], "down", "A: major outage"),
        (["unknown", "up"], [], "unknown", "No outage is known; the state of 1 of 2 components is unknown"),
        (["unknown", "unknown"], [], "unknown", "The state of all systems is unknown at the moment"),
        (["paused", "up"], [], "up", "All systems operational"),
        (["paused", "pending"], [], "pending", "Nothing is measured yet"),
        (["up"], ["Mail is slow"], "warn", "Mail is slow"),
        (["up"], ["One", "Two"], "warn", "2 incidents are open"),
    ],
)
def test_the_sentence_is_about_the_worst_that_goes_on(statuses: list[str], titles: list[str], status: str, sentence: str) -> None:
    lines = [line(name, state) for name, state in zip("ABC", statuses, strict=False)]
    going_on = [PublicIncident(title, "warn", NOW, None, []) for title in titles]
    assert overall(lines, going_on) == (status, sentence)
