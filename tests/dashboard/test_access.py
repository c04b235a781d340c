"""One table with the expected status code of every page and method for each role. A page without a row fails a test."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from apps.incidents.models import Incident
from apps.incidents.services.incident_commands import open_incident
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.notifications.models import ChannelAddress
from apps.notifications.services.channels import create_channel
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Membership, Role, User
from apps.orgs.services import create_api_key
from apps.results.trials import start_trial
from apps.statuspages.services import change_page, ensure_page
from tests.api.test_permissions import PREFIXES, methods_of, routes
from tests.conftest import NOW, Cast
from tests.incidents.world import World

# (method, URL name): status codes for nobody signed in, a user of another organization, a viewer, a member, an owner.
ACTORS = ("nobody", "stranger", "viewer", "member", "owner")
OPEN, READ = (200,) * 5, (302, 404, 200, 200, 200)
FORM, ACT = (302, 404, 403, 200, 200), (302, 404, 403, 302, 302)
ADMIN, ADMIN_ACT = (302, 404, 403, 403, 200), (302, 404, 403, 403, 302)
TABLE: dict[tuple[str, str], tuple[int, ...]] = {
    ("GET", "home"): (302, 302, 302, 302, 302),
    ("GET", "welcome"): (302, 302, 302, 302, 302),
    ("POST", "welcome"): (302, 302, 302, 302, 302),
    ("GET", "sign-in"): (200, 302, 302, 302, 302),
    ("POST", "sign-in"): (422, 302, 302, 302, 302),
    ("POST", "sign-out"): (302, 302, 302, 302, 302),
    ("GET", "nowhere"): (302, 302, 302, 302, 302),
    ("POST", "theme"): (302, 302, 302, 302, 302),
    ("GET", "password-reset"): OPEN,
    ("POST", "password-reset"): (302,) * 5,
    ("GET", "password-reset-sent"): OPEN,
    ("GET", "password-choose"): (302,) * 5,
    ("POST", "password-choose"): (302,) * 5,
    ("GET", "confirm-address"): OPEN,
    ("POST", "confirm-address"): OPEN,
    ("GET", "overview"): READ,
    ("GET", "resources-page"): READ,
    ("GET", "checks-page"): READ,
    ("POST", "checks-page"): ACT,
    ("GET", "checks-csv"): READ,
    ("GET", "incidents-csv"): READ,
    ("GET", "check-new"): FORM,
    ("POST", "check-new"): (302, 404, 403, 422, 422),
    ("GET", "trial"): FORM,
    ("GET", "incidents-page"): READ,
    ("GET", "incident-new"): FORM,
    ("POST", "incident-new"): (302, 404, 403, 422, 422),
    ("GET", "channels-page"): READ,
    ("GET", "channel-new"): FORM,
    ("POST", "channel-new"): (302, 404, 403, 422, 422),
    ("GET", "regions-page"): READ,
    ("GET", "status-page-edit"): READ,
    ("POST", "status-page-edit"): (302, 404, 403, 422, 422),
    ("GET", "region-new"): (302, 404, 403, 403, 403),
    ("POST", "region-new"): (302, 404, 403, 403, 403),
    ("GET", "region-edit"): (302, 404, 403, 403, 403),
    ("POST", "region-edit"): (302, 404, 403, 403, 403),
    ("GET", "profile"): READ,
    ("POST", "profile"): READ,
    ("GET", "settings"): READ,
    ("POST", "settings"): (302, 404, 403, 403, 422),
    ("GET", "key-new"): ADMIN,
    ("POST", "key-new"): (302, 404, 403, 403, 422),
    ("GET", "key-revoke"): ADMIN,
    ("POST", "key-revoke"): ADMIN_ACT,
    ("GET", "project-new"): ADMIN,
    ("POST", "project-new"): (302, 404, 403, 403, 422),
    ("GET", "check-page"): READ,
    ("GET", "check-edit"): FORM,
    ("POST", "check-edit"): (302, 404, 403, 422, 422),
    ("GET", "check-runs-page"): READ,
    ("GET", "check-latency-figures"): READ,
    ("POST", "check-pause-page"): ACT,
    ("POST", "check-resume-page"): ACT,
    ("POST", "check-run-page"): ACT,
    ("POST", "check-rotate-ping-url-page"): ACT,
    ("GET", "check-delete"): FORM,
    ("POST", "check-delete"): ACT,
    ("GET", "resource-page"): READ,
    ("GET", "resource-rename"): FORM,
    ("POST", "resource-rename"): (302, 404, 403, 422, 422),
    ("GET", "resource-delete"): FORM,
    ("POST", "resource-delete"): ACT,
    ("GET", "incident-page"): READ,
    ("POST", "incident-page"): (302, 404, 403, 422, 422),
    ("POST", "incident-acknowledge"): ACT,
    ("POST", "incident-resolve-page"): ACT,
    ("GET", "channel-edit"): FORM,
    ("POST", "channel-edit"): (302, 404, 403, 422, 422),
    ("POST", "channel-test-page"): ACT,
    ("GET", "channel-delete"): FORM,
    ("POST", "channel-delete"): ACT,
    ("GET", "status-page-public"): OPEN,
    ("GET", "status-json"): OPEN,
}
# Forms that would create something are sent invalid data on purpose: a 422 shows that access was granted.
BODIES = {"sign-in": {"email": "x@example.org", "password": "wrong"}, "password-reset": {"email": "x@example.org"}}


def test_every_page_and_method_has_a_row() -> None:
    mine = [(name, callback) for name, path, callback in routes() if not path.startswith((*PREFIXES, "admin/"))]
    assert {(method, name) for name, callback in mine for method in methods_of(callback)} ^ set(TABLE) == set()


@pytest.fixture
def clients(cast: Cast) -> dict[str, Client]:
    mia = User.objects.create_user("mia@example.org", "correct horse")
    Membership.objects.create(organization=cast.organization, user=mia, role=Role.MEMBER)
    people = {"stranger": cast.charlie, "viewer": cast.bob, "member": mia, "owner": cast.alice}
    found = {name: Client() for name in ACTORS}
    for name, user in people.items():
        found[name].force_login(user)
    return found


@pytest.fixture
def addresses(cast: Cast) -> dict[str, dict[str, Any]]:
    """Return the URL parameters of the pages, by URL name or by its first word."""
    world = World(cast)
    world.vote(world.first, eu="down")
    channel = create_channel(
        actor=SYSTEM, now=NOW, project=cast.project, name="ops", kind="webhook", config={"url": "http://127.0.0.1:1/"}
    )
    spec = CheckSpec(name="t", kind="tcp", target="127.0.0.1:1", options={})
    trial = start_trial(actor=SYSTEM, project=cast.project, fields=validate_spec(spec), now=NOW)
    page = ensure_page(actor=SYSTEM, now=NOW, project=cast.project)
    change_page(actor=SYSTEM, now=NOW, page=page, title="Web", slug="web", description="", is_published=True, components=[])
    by_hand = open_incident(actor=SYSTEM, project=cast.project, title="Seen", severity="down", message="", now=NOW)  # type: ignore[arg-type]
    people = {
        "uidb64": urlsafe_base64_encode(force_bytes(cast.alice.pk)),
        "token": default_token_generator.make_token(cast.alice),
    }
    return {
        "check": {"pk": world.check.pk},
        "incident": {"pk": Incident.objects.get(check_row=world.check).pk},
        "incident-resolve-page": {"pk": by_hand.pk},
        "channel": {"pk": channel.pk, "kind": "webhook"},
        "resource": {"pk": world.check.resource_id},
        "region-edit": {"pk": cast.regions["eu"].pk},
        "trial": {"pk": trial.pk},
        "key": {"pk": create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="k", role=Role.VIEWER)[0].pk},
        "status": {"slug": "web"},
        "password": people,
        "confirm": {"token": ChannelAddress.objects.create(organization=cast.organization, address="a@b.c", token="t").token},
    }


def path_of(name: str, cast: Cast, addresses: dict[str, dict[str, Any]]) -> str:
    route = next(route for found, route, _ in routes() if found == name)
    parts = {"project": cast.project.pk, **addresses.get(name, addresses.get(name.partition("-")[0], {}))}
    for key, value in parts.items():
        for shape in (f"<uuid:{key}>", f"<slug:{key}>", f"<int:{key}>", f"<{key}>"):
            route = route.replace(shape, str(value))
    return f"/{route}"


@pytest.mark.parametrize(("method", "name"), list(TABLE), ids=[" ".join(row) for row in TABLE])
@pytest.mark.parametrize("actor", ACTORS)
def test_who_gets_what(
    cast: Cast, clients: dict[str, Client], addresses: dict[str, dict[str, Any]], actor: str, method: str, name: str
) -> None:
    call = getattr(clients[actor], method.lower())
    response = call(path_of(name, cast, addresses), BODIES.get(name, {}))
    assert response.status_code == TABLE[method, name][ACTORS.index(actor)], response.content[:300]


def test_a_viewer_sees_no_button_that_will_refuse(
    cast: Cast, clients: dict[str, Client], addresses: dict[str, dict[str, Any]]
) -> None:
    refused = {name for (method, name), row in TABLE.items() if row[ACTORS.index("viewer")] == 403 and name != "incident-page"}
    for (method, name), row in TABLE.items():
        if method != "GET" or row[ACTORS.index("viewer")] != 200 or row is OPEN:
            continue
        answer = clients["viewer"].get(path_of(name, cast, addresses))
        page = answer.getvalue().decode()
        links = {path_of(other, cast, addresses) for other in refused if other != "checks-page" and "status-page" not in other}
        links -= {path_of("settings", cast, addresses)}
        assert [link for link in links if f'"{link}"' in page] == [], name
        assert 'name="act"' not in page, name


def test_nobody_is_sent_to_sign_in_and_back(cast: Cast) -> None:
    client = Client()
    there = f"/projects/{cast.project.pk}/checks/?q=a"
    answer = client.get(there)
    assert answer.headers["Location"] == f"/sign-in/?next={quote(there, safe='')}"
    signed = client.post(answer.headers["Location"], {"email": "alice@example.org", "password": "correct horse", "next": there})
    assert signed.headers["Location"] == there
    elsewhere = Client().post(
        "/sign-in/", {"email": "alice@example.org", "password": "correct horse", "next": "https://evil.example/"}
    )
    assert elsewhere.headers["Location"] == "/"


def test_a_live_part_of_somebody_signed_out_leads_to_sign_in(cast: Cast) -> None:
    answer = Client().get(f"/projects/{cast.project.pk}/", headers={"HX-Request": "true"})
    assert answer.headers["HX-Redirect"].startswith("/sign-in/")


def test_head_does_nothing_that_get_may_not(cast: Cast, clients: dict[str, Client], addresses: dict[str, dict[str, Any]]) -> None:
    """Django checks no CSRF token for HEAD."""
    readable = {name for method, name in TABLE if method == "GET"}
    for _, name in TABLE:
        if name not in readable:
            assert clients["owner"].head(path_of(name, cast, addresses)).status_code == 405, name
