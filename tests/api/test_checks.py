from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from apps.api.docs import sections
from apps.core.clock import from_ms
from apps.core.masks import MASK
from apps.incidents.models import CheckState
from apps.monitors.models import Check, Resource
from apps.net.address_policy import AddressPolicy
from apps.orgs.actors import SYSTEM
from apps.orgs.models import ApiKey, Role
from apps.orgs.services import create_api_key
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World

GOOD: dict[str, Any] = {"name": "site", "kind": "http", "target": "http://127.0.0.1:1/"}


def test_a_check_has_its_defaults(api: Api, cast: Cast) -> None:
    made = api("POST", "checks/", GOOD).json()
    assert made["project"] == str(cast.project.pk)
    assert {name: made[name] for name in ("interval_s", "timeout_s", "fail_after", "recover_after", "quorum", "regions", "status", "is_paused", "degraded_ms")} == {
        "interval_s": 60, "timeout_s": 10, "fail_after": 1, "recover_after": 1, "quorum": None, "regions": ["eu", "us"], "status": "pending",
        "is_paused": False, "degraded_ms": None,
    }  # fmt: skip
    assert made["options"]["method"] == "GET"
    assert Resource.objects.get(pk=made["resource"]).name == "site"
    assert api("GET", f"checks/{made['id']}/").json()["id"] == made["id"]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"target": "not a url"}, "target"),
    ({"target": "http://0x7f000001/"}, "target"),
    ({"target": "http://127.0.0.1:1/" + "x" * 3_000}, "target"),
    ({"target": ""}, "target"),
    ({"target": None}, "target"),
    ({"target": ["x"]}, "target"),
    ({"kind": "carrier-pigeon"}, "kind"),
    ({"kind": "tcp"}, "target"),
    ({"interval_s": 0}, "interval_s"),
    ({"interval_s": 4}, "interval_s"),
    ({"interval_s": 86_401}, "interval_s"),
    ({"interval_s": "soon"}, "interval_s"),
    ({"interval_s": 10**30}, "interval_s"),
    ({"interval_s": 10, "timeout_s": 11}, "timeout_s"),
    ({"timeout_s": 0}, "timeout_s"),
    ({"interval_s": 3_600, "timeout_s": 61}, "timeout_s"),
    ({"degraded_ms": 0}, "degraded_ms"),
    ({"fail_after": 0}, "fail_after"),
    ({"recover_after": 101}, "recover_after"),
    ({"quorum": 3}, "quorum"),
    ({"quorum": 0}, "quorum"),
    ({"regions": []}, "regions"),
    ({"regions": ["mars"]}, "regions"),
    ({"options": {"colour": "red"}}, "options.colour"),
    ({"options": {"method": 3}}, "options.method"),
    ({"options": []}, "options"),
    ({"options": {"degraded_ms": 5}}, "options.degraded_ms"),
    ({"name": ""}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"resource": "x"}, "resource"),
    ({"resource": "0b8a5a1e-6f0e-4c43-9d9a-0c7f6f7f0001"}, "resource"),
    ({"project": "0b8a5a1e-6f0e-4c43-9d9a-0c7f6f7f0001"}, "project"),
]


@pytest.mark.parametrize(("change", "field"), BAD, ids=[json.dumps(change)[:40] for change, _ in BAD])
def test_bad_input_names_its_field_and_leaves_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    response = api("POST", "checks/", {**GOOD, **change})
    assert response.status_code == 400, response.content
    error = response.json()["error"]
    assert field in [name.partition(".")[0] if name.startswith(f"{field}.") else name for name in error["details"]], error
    assert (Check.objects.count(), Resource.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "malformed"),
        (b"", 400, "invalid"),
        (b"null", 400, "invalid"),
        (b"[]", 400, "invalid"),
        (b'"x"', 400, "invalid"),
        (b'{"name": NaN}', 400, "malformed"),
        (b'{"name": "\\ud800"}', 400, "malformed"),
        (b"\xff", 400, "malformed"),
        (b"[" * 200_000, 400, "malformed"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', 413, "payload_too_large"),
    ],
    ids=["cut", "empty", "null", "list", "text", "nan", "surrogate", "bytes", "deep", "10 MB"],
)
def test_a_body_that_is_none(cast: Cast, raw: bytes, status: int, code: str) -> None:
    key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="t", role=Role.ADMIN)[1]
    response = Client().post("/api/v1/checks/", raw, content_type="application/json", headers={"X-API-Key": key})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_other_errors_have_the_envelope_too(api: Api, cast: Cast) -> None:
    key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="t", role=Role.ADMIN)[1]
    as_form = Client().post("/api/v1/checks/", {"name": "x"}, headers={"X-API-Key": key})
    answers = [
        (api("PUT", "checks/", {}), 405),
        (as_form, 415),
        (api("GET", "nothing/"), 404),
        (api("GET", "checks/not-an-id/"), 404),
        (api("GET", "checks/?cursor=cD1ydWJiaXNo"), 400),
        (api("GET", "checks/?project=x"), 400),
        (api("GET", "incidents/?status=great"), 400),
    ]
    for response, status in answers:
        assert response.status_code == status
        assert set(response.json()) == {"error"}


def test_a_refused_literal_is_a_400_and_a_name_is_judged_later(api: Api, settings: Any) -> None:
    settings.ADDRESS_POLICY = AddressPolicy()
    for target in (
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/",
    ):
        response = api("POST", "checks/", {**GOOD, "target": target})
        assert response.json()["error"]["details"].keys() == {"target"}
    assert api("POST", "checks/", {**GOOD, "target": "http://localhost/"}).status_code == 201


SECRET = {"headers": {"Authorization": "Bearer s3cret"}, "method": "POST", "body": "p4ss"}


def test_secrets_are_masked_and_a_mask_sent_back_keeps_them(api: Api) -> None:
    made = api("POST", "checks/", {**GOOD, "options": SECRET})
    assert "s3cret" not in made.content.decode()
    assert "p4ss" not in made.content.decode()
    options = made.json()["options"]
    assert (options["headers"], options["body"]) == ({"Authorization": MASK}, MASK)
    path = f"checks/{made.json()['id']}/"
    assert api("PATCH", path, {"options": options, "name": "new"}).status_code == 200
    check = Check.objects.get()
    assert check.secrets == {"headers": SECRET["headers"], "body": "p4ss"}
    assert "headers" not in api("PATCH", path, {"options": {"headers": {}}}).json()["options"]
    assert Check.objects.get().secrets == {"body": "p4ss"}


def test_secrets_do_not_follow_a_check_to_another_origin(api: Api) -> None:
    path = f"checks/{api('POST', 'checks/', {**GOOD, 'options': SECRET}).json()['id']}/"
    refused = api("PATCH", path, {"target": "http://127.0.0.2:1/"})
    assert "options.headers" in refused.json()["error"]["details"]
    assert api("PATCH", path, {"target": "http://127.0.0.1:1/other"}).status_code == 200
    anew = {"target": "http://127.0.0.2:1/", "options": {"headers": {"Authorization": "new"}, "body": "new"}}
    assert api("PATCH", path, anew).status_code == 200


@pytest.mark.parametrize(
    "route", [{"token_url": "http://127.0.0.9/"}, {"nameserver": "127.0.0.9"}, {"proxy": "http://127.0.0.9:1"}]
)
def test_nor_along_another_way(api: Api, route: dict[str, str]) -> None:
    path = f"checks/{api('POST', 'checks/', {**GOOD, 'options': SECRET}).json()['id']}/"
    assert "options.headers" in api("PATCH", path, {"options": route}).json()["error"]["details"]
    assert Check.objects.get().options["nameserver"] == ""
    assert api("PATCH", path, {"options": {**route, **SECRET}}).status_code == 200
    assert (
        api("PATCH", path, {"options": {name: "••••••" if name == "proxy" else text for name, text in route.items()}}).status_code
        == 200
    )


def test_nor_by_another_way_to_sign_in(api: Api) -> None:
    grant = {"auth": "oauth2", "username": "id", "password": "p4ss", "token_url": "http://127.0.0.2/token"}
    path = f"checks/{api('POST', 'checks/', {**GOOD, 'options': grant}).json()['id']}/"
    assert "options.password" in api("PATCH", path, {"options": {"auth": "basic"}}).json()["error"]["details"]
    assert api("PATCH", path, {"options": {"auth": "oauth2", "keyword": "ok"}}).status_code == 200
    assert api("PATCH", path, {"options": {"auth": "basic", "username": "me", "password": "new"}}).status_code == 200


def test_a_patch_changes_what_it_names(api: Api) -> None:
    made = api("POST", "checks/", {**GOOD, "options": {"keyword": "hello", "max_redirects": 2}}).json()
    changed = api("PATCH", f"checks/{made['id']}/", {"options": {"max_redirects": 3}, "interval_s": 5}).json()
    assert (changed["options"]["keyword"], changed["options"]["max_redirects"], changed["interval_s"], changed["timeout_s"]) == (
        "hello",
        3,
        5,
        5,
    )
    assert changed["revision"] == 2
    bad = api("PATCH", f"checks/{made['id']}/", {"quorum": 9})
    assert bad.json()["error"]["details"].keys() == {"quorum"}


def test_a_disabled_region_does_not_stop_a_rename(api: Api, cast: Cast) -> None:
    made = api("POST", "checks/", GOOD).json()
    cast.regions["us"].is_enabled = False
    cast.regions["us"].save()
    assert api("PATCH", f"checks/{made['id']}/", {"name": "new"}).json()["name"] == "new"


def test_pause_resume_and_run(api: Api) -> None:
    path = f"checks/{api('POST', 'checks/', GOOD).json()['id']}"
    assert api("POST", f"{path}/pause/").json()["status"] == "paused"
    refused = api("POST", f"{path}/run/")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "paused")
    assert api("POST", f"{path}/resume/").json()["is_paused"] is False
    assert api("POST", f"{path}/run/").status_code == 202
    assert api("DELETE", f"{path}/").status_code == 204
    assert api("GET", f"{path}/").status_code == 404


def test_runs_and_uptime_of_an_outage(api: Api, cast: Cast) -> None:
    world = World(cast)
    first, second, third = world.slots(3)
    for slot, verdict in ((world.first, "up"), (first, "down"), (second, "up"), (third, "up")):
        world.vote(slot, eu=verdict)
    path = f"checks/{world.check.pk}"
    runs = api("GET", f"{path}/runs/?to=2026-11-01T13:00:00Z&limit=2").json()
    assert [run["verdict"] for run in runs["results"]] == ["up", "up"]
    older = api("GET", runs["next"].partition("/api/v1/")[2]).json()["results"]
    assert older[0]["reason"] == {"code": "connect_refused", "message": "127.0.0.1:1 refused the connection"}
    assert set(older[0]) == {"slot", "region", "verdict", "reason", "started_at", "latency_ms", "facts"}
    only_down = api("GET", f"{path}/runs/?verdict=down&region=eu&from=2026-11-01T00:00:00Z&to=2026-11-01T13:00:00Z").json()[
        "results"
    ]
    assert len(only_down) == 1
    until = (from_ms(third) + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    sums = api("GET", f"{path}/uptime/?to={until}").json()
    assert sums["down_s"] == (second - first) / 1000
    assert set(sums) == {"from", "to", "uptime", "up_s", "degraded_s", "down_s", "unknown_s", "paused_s", "maintenance_s"}
    (incident,) = api("GET", f"incidents/?check={world.check.pk}").json()["results"]
    assert incident["downtime_s"] == incident["duration_s"] == sums["down_s"]


@pytest.mark.parametrize(
    "query",
    [
        "period=1",
        "period=0d",
        "period=366d",
        "period=x",
        "period=-1d",
        "from=yesterday",
        "to=0001-01-01T00:00:00Z",
        "from=2999-01-01T00:00:00Z",
    ],
)
def test_a_span_that_cannot_be_is_a_400(api: Api, cast: Cast, query: str) -> None:
    world = World(cast)
    assert api("GET", f"checks/{world.check.pk}/uptime/?{query}").status_code == 400


def test_a_list_costs_the_same_for_one_and_for_many(api: Api, cast: Cast, django_assert_max_num_queries: Any) -> None:
    for index in range(12):
        world = World(cast, name=f"site {index}")
        world.vote(world.first, eu="up")
    api("GET", "checks/?limit=1")  # the first request of a minute also writes when the key was last used
    counts = []
    for limit in (1, 10):
        with django_assert_max_num_queries(9) as queries:
            assert len(api("GET", f"checks/?limit={limit}").json()["results"]) == limit
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_key_that_ended_is_nobody(cast: Cast) -> None:
    for change in ({"expires_at": NOW}, {"revoked_at": NOW}):
        row, key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="t", role=Role.ADMIN)
        ApiKey.objects.filter(pk=row.pk).update(**change)
        assert Api(**{"X-API-Key": key})("GET", "checks/").status_code == 401


def test_a_key_makes_no_stronger_key(cast: Cast) -> None:
    key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="t", role=Role.ADMIN)[1]
    assert Api(**{"X-API-Key": key})("POST", "api-keys/", {"name": "x", "role": "owner"}).status_code == 400


def test_a_regions_clock_that_is_off_is_named(api: Api, cast: Cast) -> None:
    cast.regions["eu"].clock_offset_ms = 3_004
    cast.regions["eu"].save()
    shown = {region["slug"]: region["clock"] for region in api("GET", "regions/").json()["results"]}
    assert shown == {"eu": "clock off by +3.0 s", "us": None}


def test_a_webhooks_secret_is_shown_once(api: Api) -> None:
    made = api("POST", "channels/", {"name": "h", "kind": "webhook", "config": {"url": "http://127.0.0.1:1/"}}).json()
    assert len(made["config"]["secret"]) > 20
    path = f"channels/{made['id']}/"
    assert api("GET", path).json()["config"]["secret"] == MASK
    assert (
        api("PATCH", path, {"config": {"secret": MASK, "url": "http://127.0.0.1:2/"}}).json()["config"]["url"]
        == "http://127.0.0.1:2/"
    )
    bads: list[dict[str, Any]] = [{"kind": "pigeon"}, {"config": {"url": "x"}}, {"config": []}]
    for bad in bads:
        assert (
            api(
                "POST", "channels/", {"name": "h", "kind": "webhook", "config": {"url": "http://127.0.0.1:1/"}, **bad}
            ).status_code
            == 400
        )


def test_the_schema_knows_every_route(api: Api) -> None:
    schema = Client().get("/api/v1/schema/?format=json").json()
    assert "/api/v1/checks/{id}/runs/" in schema["paths"] or "/api/v1/checks/{pk}/runs/" in schema["paths"]
    page = Client().get("/api/v1/docs/")
    assert page.status_code == 200
    body = page.content.decode()
    for words in ("/api/v1/checks/", "POST", "interval_s", "X-API-Key", '<html lang="en"'):
        assert words in body
    assert "unsafe" not in page.headers["Content-Security-Policy"]


def test_every_operation_of_the_reference_says_what_it_does() -> None:
    silent = {f"{one.method} {one.path}" for section in sections() for one in section.operations if not one.summary}
    assert silent == set()


def test_a_state_row_comes_with_every_check(api: Api) -> None:
    made = api("POST", "checks/", GOOD).json()
    assert CheckState.objects.filter(check_row_id=made["id"]).exists()
