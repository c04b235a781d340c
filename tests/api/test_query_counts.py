"""Every list of both faces takes as many queries for ten objects as for two."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.incidents.models import Incident, Severity
from apps.incidents.services.incident_commands import add_update, open_incident
from apps.monitors.models import Check, Region
from apps.notifications.services.channels import create_channel, send_test
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Membership, Role, User
from apps.orgs.services import create_api_key, create_project
from apps.statuspages.models import Component
from apps.statuspages.services import change_page, ensure_page
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World


def add_one_of_each(cast: Cast, number: int) -> World:
    """One more of everything that a list shows, each with something that the list must look up."""
    world = World(cast, name=f"check {number}")
    world.vote(world.first, eu="down" if number % 2 else "up")
    channel = create_channel(
        actor=SYSTEM, now=NOW, project=cast.project, name=f"c{number}", kind="email", config={"to": [f"a{number}@example.org"]}
    )
    send_test(actor=SYSTEM, channel=channel, now=NOW)
    incident = open_incident(actor=SYSTEM, project=cast.project, title=f"i{number}", severity=Severity.DOWN, message="", now=NOW)
    add_update(actor=SYSTEM, incident=incident, author=cast.alice, text="seen", is_public=True, now=NOW)
    create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name=f"k{number}", role=Role.VIEWER)
    create_project(actor=SYSTEM, now=NOW, organization=cast.organization, name=f"p{number}")
    Region.objects.create(slug=f"r{number}", name=f"r{number}", key="k", key_id=f"{number}", is_enabled=False)
    user = User.objects.create_user(f"u{number}@example.org", "correct horse")
    Membership.objects.create(organization=cast.organization, user=user, role=Role.VIEWER)
    page = ensure_page(actor=SYSTEM, now=NOW, project=cast.project)
    change_page(actor=SYSTEM, now=NOW, page=page, title="Web", slug="web", description="", is_published=True, components=[])
    for check in Check.objects.filter(project=cast.project):
        Component.objects.get_or_create(page=page, resource_id=check.resource_id, defaults={"name": check.name})
    return world


API = (
    "checks/", "resources/", "incidents/", "channels/", "deliveries/", "projects/", "regions/", "api-keys/", "status-pages/",
    "checks/{check}/runs/", "incidents/{incident}/updates/",
)  # fmt: skip
PAGES = (
    "/projects/{project}/", "/projects/{project}/resources/", "/projects/{project}/checks/", "/projects/{project}/incidents/",
    "/projects/{project}/channels/", "/projects/{project}/regions/", "/projects/{project}/settings/",
    "/projects/{project}/status-page/", "/checks/{check}/", "/checks/{check}/runs/", "/resources/{resource}/",
    "/incidents/{incident}/", "/status/web/",
)  # fmt: skip


def queries_of(cast: Cast, client: Client, api: Api, world: World) -> dict[str, int]:
    incident = Incident.objects.filter(source="person").order_by("pk")[0]
    parts = {
        "project": cast.project.pk, "check": world.check.pk, "resource": world.check.resource_id, "incident": incident.pk,
    }  # fmt: skip
    counts = {}
    for path in API:
        counts[path] = _count(lambda path=path: api("GET", path.format(**parts)))
    for path in PAGES:
        counts[path] = _count(lambda path=path: client.get(path.format(**parts)))
    return counts


def _count(ask: Any) -> int:
    assert ask().status_code == 200  # what a session or a cache does once is not the list's
    with CaptureQueriesContext(connection) as found:
        assert ask().status_code == 200
    return len(found)


@pytest.fixture(autouse=True)
def _no_page_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.statuspages.views.FRESH_MS", -1)


def test_a_list_of_ten_takes_the_queries_of_a_list_of_two(cast: Cast, api: Api) -> None:
    client = Client()
    client.force_login(cast.alice)
    worlds = [add_one_of_each(cast, number) for number in range(2)]
    few = queries_of(cast, client, api, worlds[0])
    for number in range(2, 10):
        add_one_of_each(cast, number)
    many = queries_of(cast, client, api, worlds[0])
    grown = {path: (few[path], many[path]) for path in few if many[path] > few[path]}
    assert grown == {}
    assert max(many.values()) <= 30, many
