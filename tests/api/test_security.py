"""Security of the API: isolation of tenants, masked secrets, limits, and refusal of unknown or malformed input."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from apps.core.logs import OneLineOutage
from apps.core.masks import MASK
from apps.incidents.models import Incident
from apps.incidents.services.check_commands import create_check
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check
from apps.notifications.models import Channel
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Role
from apps.orgs.services import create_api_key
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World

HOOK = "https://hooks.example/services/T0/B0/verysecret"


def with_role(cast: Cast, role: Role) -> Api:
    return Api(**{"X-API-Key": create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name=role, role=role)[1]})


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("checks/", {"name": "a", "kind": "tcp", "target": "127.0.0.1:1", "interval": 3600}, "interval"),
        ("checks/", {"name": "a", "kind": "tcp", "target": "127.0.0.1:1", "status": "up"}, "status"),
        ("checks/", {"name": 5, "kind": "tcp", "target": "127.0.0.1:1"}, "name"),
        ("checks/", {"name": "a", "kind": "tcp", "target": "127.0.0.1:1", "interval_s": "60"}, "interval_s"),
        ("resources/", {"name": "a", "colour": "red"}, "colour"),
        ("resources/", {"name": "a", "id": "1"}, "id"),
        ("channels/", {"name": "a", "kind": "webhook", "config": {"url": HOOK}, "enabled": False}, "enabled"),
        ("incidents/", {"title": "a", "status": "resolved"}, "status"),
        ("incidents/", {"title": True}, "title"),
        ("api-keys/", {"name": "a", "scope": "x"}, "scope"),
        ("status-pages/", {"slug": "a"}, "slug"),
        ("checks/trial/", {"name": "a", "kind": "tcp", "target": "127.0.0.1:1", "extra": 1}, "extra"),
    ],
)
def test_what_is_sent_has_its_effect_or_is_named(api: Api, route: str, body: dict[str, Any], field: str) -> None:
    answer = api("POST", route, body)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, [field])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("checks/?projekt=1", "projekt"),
        ("checks/?limit=1&limit=2", "limit"),
        ("incidents/?state=open", "state"),
        ("deliveries/?order=x", "order"),
        ("regions/?slug=eu", "slug"),
        ("checks/{check}/?limit=1", "limit"),
        ("checks/{check}/runs/?region=nowhere", "region"),
        ("checks/{check}/latency/?region=nowhere", "region"),
        ("checks/{check}/uptime/?since=1", "since"),
        ("checks/{check}/pings/?cursor=1", "cursor"),
    ],
)
def test_a_parameter_without_effect_is_named(cast: Cast, api: Api, path: str, name: str) -> None:
    answer = api("GET", path.format(check=World(cast).check.pk))
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, [name])


def test_an_act_takes_no_body(cast: Cast, api: Api) -> None:
    check = World(cast).check.pk
    answer = api("POST", f"checks/{check}/pause/", {"until": "tomorrow"})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, ["until"])
    assert api("POST", f"checks/{check}/pause/", [1]).status_code == 400
    harmless: tuple[Any, ...] = (None, {}, "null")
    for body in harmless:
        assert api("POST", f"checks/{check}/pause/", body).status_code == 200


def test_a_name_twice_in_an_object_is_refused(api: Api) -> None:
    answer = api("POST", "resources/", '{"name": "a", "name": "b"}')
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


@pytest.mark.parametrize("name", ["a\nb", "a\u0000b", "a\u001bb", "a\u2028b", "moc.elgoog\u202e", "\u2066a"])
@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("checks/", {"kind": "tcp", "target": "127.0.0.1:1"}, "name"),
        ("resources/", {}, "name"),
        ("channels/", {"kind": "webhook", "config": {"url": HOOK}}, "name"),
        ("api-keys/", {}, "name"),
        ("incidents/", {}, "title"),
    ],
)
def test_a_name_is_one_line_of_text(api: Api, route: str, body: dict[str, Any], field: str, name: str) -> None:
    answer = api("POST", route, {**body, field: name})
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, [field])
    assert api("POST", route, {**body, field: "Straße \u00a0 \U0001f6d2"}).status_code == 201


def test_errors_of_the_schema_are_json_whatever_was_asked_for(db: None) -> None:
    answer = Client().get("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi", "X-API-Key": "grt_wrong"})
    assert (answer.status_code, answer["Content-Type"].partition(";")[0]) in ((200, "application/vnd.oai.openapi"),)
    refused = Client().post("/api/v1/schema/", headers={"Accept": "application/vnd.oai.openapi"})
    assert (refused.status_code, refused["Content-Type"], refused.json()["error"]["code"]) == (
        405, "application/json", "method_not_allowed",
    )  # fmt: skip


def test_a_channel_is_made_as_it_was_asked_for(api: Api) -> None:
    body = {"name": "a", "kind": "webhook", "config": {"url": HOOK}, "is_enabled": False}
    assert api("POST", "channels/", body).json()["is_enabled"] is False


def test_the_address_of_a_webhook_is_whole_for_admins_alone(cast: Cast, api: Api) -> None:
    made = api("POST", "channels/", {"name": "a", "kind": "webhook", "config": {"url": HOOK}}).json()
    path = f"channels/{made['id']}/"
    shown = {role: with_role(cast, role)("GET", path).json()["config"] for role in (Role.VIEWER, Role.MEMBER, Role.ADMIN)}
    assert shown[Role.VIEWER] == shown[Role.MEMBER] == {"url": f"https://hooks.example/{MASK}", "secret": MASK}
    assert shown[Role.ADMIN] == {"url": HOOK, "secret": MASK}
    member = with_role(cast, Role.MEMBER)
    assert member("PATCH", path, {"name": "b", "config": shown[Role.MEMBER]}).status_code == 200
    kept = Channel.objects.get(pk=made["id"]).config
    assert (kept["url"], kept["secret"]) == (HOOK, made["config"]["secret"])
    assert member("PATCH", path, {"config": {"url": f"https://other.example/{MASK}"}}).status_code == 400


def test_an_owners_key_is_made_and_revoked_by_owners_alone(cast: Cast) -> None:
    owners = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="owner", role=Role.OWNER)[0]
    admin, owner = with_role(cast, Role.ADMIN), with_role(cast, Role.OWNER)
    assert admin("DELETE", f"api-keys/{owners.pk}/").status_code == 403
    assert admin("POST", "api-keys/", {"name": "x", "role": "owner"}).json()["error"]["details"].keys() == {"role"}
    assert owner("DELETE", f"api-keys/{owners.pk}/").status_code == 204


def test_a_mask_never_becomes_the_secret(cast: Cast, api: Api) -> None:
    check = World(cast, options={"auth": "basic", "username": "u", "password": "hunter22"}).check
    to_smtp = {"kind": "smtp", "target": "127.0.0.1:25", "options": {"security": "tls", "username": "u", "password": MASK}}
    answer = api("PATCH", f"checks/{check.pk}/", to_smtp)
    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, ["options.password"])
    assert Check.objects.get(pk=check.pk).kind == "http"
    made = {"name": "a", "kind": "http", "target": "http://127.0.0.1:1/", "options": {"headers": {"X-Token": MASK}}}
    assert api("POST", "checks/", made).status_code == 400


def test_limits_are_the_projects_and_not_the_keys(cast: Cast) -> None:
    cache.clear()
    body = {"name": "new", "kind": "tcp", "target": "127.0.0.1:1"}
    codes = [with_role(cast, Role.MEMBER)("POST", "checks/trial/", body).status_code for _ in range(31)]
    assert (codes[29], codes[30]) == (202, 429)
    cache.clear()


def test_answers_are_kept_by_nobody(cast: Cast, api: Api) -> None:
    answer = api("GET", "checks/")
    assert answer.headers["Cache-Control"] == "no-store, private"
    assert {"Cookie", "X-API-Key"} <= {name.strip() for name in answer.headers["Vary"].split(",")}


@pytest.mark.parametrize("path", ["checks/?project=%00", "incidents/?status=%00", "checks/{check}/latency/?region=%00"])
def test_a_nul_in_an_address_is_refused(cast: Cast, api: Api, path: str) -> None:
    answer = api("GET", path.format(check=World(cast).check.pk))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_an_address_of_the_admin_with_a_nul_is_refused(cast: Cast) -> None:
    client = Client()
    cast.alice.is_staff = cast.alice.is_superuser = True
    cast.alice.save()
    client.force_login(cast.alice)
    assert client.get("/admin/monitors/check/?kind=%00").status_code == 400


def test_a_byte_order_mark_before_a_body_is_as_if_it_were_not_there(cast: Cast) -> None:
    client = Client(
        headers={"X-API-Key": create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="k", role=Role.MEMBER)[1]}
    )
    body = b"\xef\xbb\xbf" + json.dumps({"name": "a"}).encode()
    assert client.post("/api/v1/resources/", body, content_type="application/json").status_code == 201


def test_regions_tell_tenants_nothing_of_the_operators_own_hosts(cast: Cast, api: Api) -> None:
    cast.regions["eu"].canaries = {"10.0.0.1:22": True}
    cast.regions["eu"].save()
    assert "10.0.0.1" not in api("GET", "regions/").content.decode()


def test_a_list_of_open_incidents_costs_as_much_as_one(cast: Cast, api: Api, django_assert_num_queries: Any) -> None:
    def queries() -> int:
        with django_assert_num_queries(0, exact=False) as seen:
            pass
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as seen:
            assert api("GET", "incidents/").status_code == 200
        return len(seen)

    def outage() -> None:
        world = World(cast)
        world.vote(world.first, eu="down")

    outage()
    api("GET", "incidents/")
    one = queries()
    outage()
    outage()
    assert Incident.objects.exclude(status="resolved").count() == 3
    assert queries() == one


def test_nonsense_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture, cast: Cast) -> None:
    caplog.handler.addFilter(quiet := OneLineOutage())
    try:
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                assert Client().get("/", headers={"Host": "evil.example"}).status_code == 400
    finally:
        caplog.handler.removeFilter(quiet)
    told = [record for record in caplog.records if "refused" in record.getMessage()]
    assert len(told) <= 2
    assert all(record.exc_info is None for record in told)


def test_a_heartbeats_note_is_no_address(cast: Cast) -> None:
    spec = CheckSpec("beat", "heartbeat", "10.0.0.1", {})
    assert create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=NOW).target == "10.0.0.1"
