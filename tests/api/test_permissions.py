"""One table with the status code of every API route and method for each role. A route without a row fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.incidents.models import Incident
from apps.incidents.services.check_commands import create_check
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.notifications.services.channels import create_channel, send_test
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Role
from apps.orgs.services import create_api_key
from apps.results.trials import start_trial
from apps.statuspages.services import ensure_page
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World

# (method, route name): status codes for no credentials, a key of another organization, a viewer, a member, an owner.
# A key of another organization sees its own lists, which are empty, and no objects of Acme.
OPEN, READ, WRITE = (200, 200, 200, 200, 200), (401, 404, 200, 200, 200), (401, 404, 403, 200, 200)
LIST, MAKE = (401, 200, 200, 200, 200), (401, 201, 403, 201, 201)
TABLE: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "healthz"): OPEN,
    ("GET", "readyz"): OPEN,
    ("GET", "metrics"): (401, 401, 401, 401, 401),
    ("GET", "schema"): OPEN,
    ("GET", "docs"): OPEN,
    ("GET", "check-latency"): READ,
    ("POST", "check-trials"): (401, 202, 403, 202, 202),
    ("GET", "check-trial"): READ,
    ("GET", "incident-updates"): READ,
    ("POST", "incident-updates"): (401, 404, 403, 201, 201),
    ("GET", "status-pages"): LIST,
    ("POST", "status-pages"): MAKE,
    ("GET", "status-page"): READ,
    ("PATCH", "status-page"): WRITE,
    ("POST", "session"): (401, 401, 401, 401, 401),
    ("DELETE", "session"): (204, 204, 204, 204, 204),
    ("GET", "projects"): LIST,
    ("POST", "projects"): (401, 403, 403, 403, 403),
    ("GET", "project"): READ,
    ("PATCH", "project"): (401, 404, 403, 403, 200),
    ("GET", "resources"): LIST,
    ("POST", "resources"): MAKE,
    ("GET", "resource"): READ,
    ("PATCH", "resource"): WRITE,
    ("GET", "api-keys"): (401, 200, 403, 403, 200),
    ("POST", "api-keys"): (401, 201, 403, 403, 201),
    ("GET", "api-key"): (401, 404, 403, 403, 200),
    ("DELETE", "api-key"): (401, 404, 403, 403, 204),
    ("GET", "checks"): LIST,
    ("POST", "checks"): MAKE,
    ("GET", "check"): READ,
    ("PATCH", "check"): WRITE,
    ("DELETE", "check"): (401, 404, 403, 204, 204),
    ("GET", "check-runs"): READ,
    ("GET", "check-uptime"): READ,
    ("GET", "check-pings"): READ,
    ("GET", "check-due"): (401, 404, 400, 400, 400),
    ("POST", "due-preview"): (401, 200, 403, 200, 200),
    ("GET", "ping"): OPEN,
    ("POST", "check-pause"): WRITE,
    ("POST", "check-resume"): WRITE,
    ("POST", "check-rotate-ping-url"): (401, 404, 403, 400, 400),
    ("POST", "check-run"): (401, 404, 403, 202, 202),
    ("GET", "regions"): LIST,
    ("GET", "incidents"): LIST,
    ("POST", "incidents"): MAKE,
    ("GET", "incident"): READ,
    ("POST", "incident-ack"): WRITE,
    ("POST", "incident-resolve"): (401, 404, 403, 409, 409),
    ("GET", "channels"): LIST,
    ("POST", "channels"): MAKE,
    ("GET", "channel"): READ,
    ("PATCH", "channel"): WRITE,
    ("DELETE", "channel"): (401, 404, 403, 204, 204),
    ("POST", "channel-test"): (401, 404, 403, 202, 202),
    ("GET", "deliveries"): LIST,
    ("GET", "delivery"): READ,
}
BODIES: dict[str, Any] = {
    "projects": {"name": "New"},
    "resources": {"name": "new"},
    "api-keys": {"name": "new", "role": "viewer"},
    "checks": {"name": "new", "kind": "tcp", "target": "127.0.0.1:1"},
    "incidents": {"title": "Seen by a person"},
    "channels": {"name": "new", "kind": "email", "config": {"to": "a@example.org"}},
    "status-pages": {},
    "check-trials": {"name": "new", "kind": "tcp", "target": "127.0.0.1:1"},
    "due-preview": {"name": "new", "kind": "heartbeat"},
    "incident-updates": {"text": "We look into it"},
    "session": {"email": "nobody@example.org", "password": "wrong"},
}
PREFIXES = ("api/", "ping/", "healthz", "readyz", "metrics")
"""Paths for programs. Pages have their table in `tests/dashboard/test_access.py`; `test_pages.py` opens the admin."""
ACTORS = ("nobody", "stranger", "viewer", "member", "owner")


def routes(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    for entry in patterns or get_resolver().url_patterns:
        if isinstance(entry, URLResolver):
            yield from routes(entry.url_patterns, prefix + str(entry.pattern))
        elif isinstance(entry, URLPattern):
            yield entry.name or "", prefix + str(entry.pattern), entry.callback


def methods_of(callback: Any) -> set[str]:
    if hasattr(callback, "methods"):
        return set(callback.methods)
    view = getattr(callback, "view_class", None) or getattr(callback, "cls", None)
    if view is None:
        return {"GET"}
    return {name.upper() for name in view.http_method_names if hasattr(view, name)} - {"OPTIONS", "HEAD"}


def test_every_route_and_method_has_a_row() -> None:
    ours = [(name, callback) for name, path, callback in routes() if path.startswith(PREFIXES)]
    found = {(method, name) for name, callback in ours for method in methods_of(callback)}
    assert set(TABLE) ^ found == set()


@pytest.fixture
def actors(cast: Cast) -> dict[str, Api]:
    def with_role(role: Role) -> Api:
        return Api(**{"X-API-Key": create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name=role, role=role)[1]})

    theirs = create_api_key(actor=SYSTEM, now=NOW, project=cast.others_project, name="theirs", role=Role.ADMIN)[1]
    return {
        "nobody": Api(),
        "stranger": Api(**{"X-API-Key": theirs}),
        "viewer": with_role(Role.VIEWER),
        "member": with_role(Role.MEMBER),
        "owner": with_role(Role.OWNER),
    }


@pytest.mark.parametrize(("method", "name"), list(TABLE), ids=[" ".join(row) for row in TABLE])
@pytest.mark.parametrize("actor", ACTORS)
def test_who_gets_what(cast: Cast, actors: dict[str, Api], actor: str, method: str, name: str) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    channel = create_channel(
        actor=SYSTEM, now=NOW, project=cast.project, name="ops", kind="webhook", config={"url": "http://127.0.0.1:1/"}
    )
    spec = CheckSpec(name="t", kind="tcp", target="127.0.0.1:1", options={})
    trial = start_trial(actor=SYSTEM, project=cast.project, fields=validate_spec(spec), now=NOW)
    objects = {
        "project": cast.project.pk,
        "resource": world.check.resource_id,
        "api-key": create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="k", role=Role.VIEWER)[0].pk,
        "check": world.check.pk,
        "incident": Incident.objects.get().pk,
        "channel": channel.pk,
        "check-trial": trial.pk,
        "status-page": ensure_page(actor=SYSTEM, now=NOW, project=cast.project).pk,
        "delivery": send_test(actor=SYSTEM, channel=channel, now=NOW).pk,
    }
    route = next(route for found, route, _ in routes() if found == name)
    noun = name.partition("-")[0] if name not in objects else name
    path = "/" + route.replace("<uuid:pk>", str(objects.get(noun, "")))
    if noun == "ping":
        beat = CheckSpec("beat", "heartbeat", "", {"slug": "beat"})
        pk = create_check(actor=SYSTEM, project=cast.project, spec=beat, resource=None, now=NOW).pk
        path = f"/ping/{pk}"
    body = BODIES.get(name) if method == "POST" else {} if method == "PATCH" else None
    client = actors[actor]
    response = client(method, path.removeprefix("/api/v1/"), body) if path.startswith("/api/") else Client().get(path)
    assert response.status_code == TABLE[method, name][ACTORS.index(actor)], response.content[:300]
    if response.status_code >= 400:
        assert set(response.json()["error"]) == {"code", "message", "details"}


def test_a_session_acts_with_its_members_role(cast: Cast) -> None:
    def signed_in(email: str) -> Client:
        client = Client()
        answer = client.post("/api/v1/session/", {"email": email, "password": "correct horse"}, content_type="application/json")
        assert answer.status_code == 200
        return client

    body = {"name": "new", "kind": "tcp", "target": "127.0.0.1:1", "project": str(cast.project.pk)}
    got = {
        email: signed_in(email).post("/api/v1/checks/", body, content_type="application/json").status_code
        for email in ("alice@example.org", "bob@example.org", "charlie@example.org")
    }
    assert got == {"alice@example.org": 201, "bob@example.org": 403, "charlie@example.org": 400}
    headers = {"X-Organization": str(cast.organization.pk)}
    assert signed_in("charlie@example.org").get("/api/v1/checks/", headers=headers).status_code == 403
    assert signed_in("ALICE@example.org").get("/api/v1/checks/", headers=headers).status_code == 200


def test_a_session_needs_the_csrf_token_to_write(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    credentials = {"email": "alice@example.org", "password": "correct horse"}
    token = client.post("/api/v1/session/", credentials, content_type="application/json").json()["csrf_token"]
    body = {"name": "Third"}
    assert client.post("/api/v1/projects/", body, content_type="application/json").status_code == 403
    made = client.post("/api/v1/projects/", body, content_type="application/json", headers={"X-CSRFToken": token})
    assert made.status_code == 201
