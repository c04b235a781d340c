"""`/ping/…` over HTTP, compatible with clients of healthchecks.io; one of them, from PyPI, is run unchanged."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.test import Client
from healthchecks_decorator import healthcheck
from pytest_django.live_server_helper import LiveServer

from apps.incidents.models import CheckState
from apps.incidents.services.check_commands import create_check
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Organization, Project
from apps.results.models import Ping
from tests.conftest import NOW, Api, Cast


@pytest.fixture
def beat(api: Api) -> dict[str, Any]:
    made = api("POST", "checks/", {"name": "backup", "kind": "heartbeat", "options": {"grace_s": 10}})
    assert made.status_code == 201, made.content
    return dict(made.json())


def test_a_heartbeat_needs_no_target_and_says_where_to_ping(beat: dict[str, Any], api: Api) -> None:
    assert (beat["target"], beat["regions"], beat["status"]) == ("", ["core"], "pending")
    assert beat["ping_url"].endswith(f"/ping/{Check.objects.get().ping_secret}")
    assert "core" not in [region["slug"] for region in api("GET", "regions/").json()["results"]]
    assert api("POST", "checks/", {"name": "site", "kind": "http"}).json()["error"]["details"].keys() == {"target"}
    run = api("POST", f"checks/{beat['id']}/run/")
    assert (run.status_code, run.json()["error"]["code"]) == (409, "passive")


@pytest.mark.parametrize("method", ["get", "head", "post"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_any_method_pings(beat: dict[str, Any], method: str, slash: str) -> None:
    answer = getattr(Client(), method)(f"/ping/{beat['id']}{slash}")
    assert (answer.status_code, answer.headers["Ping-Body-Limit"]) == (200, "10000")
    assert Ping.objects.get(check_id=beat["id"]).method == method.upper()
    assert CheckState.objects.get(pk=beat["id"]).status == "up"


@pytest.mark.parametrize(
    ("signal", "status", "kept"),
    [
        ("/start", "pending", ("start", None)), ("/log", "pending", ("log", None)), ("/fail", "down", ("fail", None)),
        ("/0", "up", ("success", 0)), ("/1", "down", ("fail", 1)), ("/255", "down", ("fail", 255)),
    ],
)  # fmt: skip
def test_signals(beat: dict[str, Any], signal: str, status: str, kept: tuple[str, int | None]) -> None:
    assert Client().post(f"/ping/{beat['id']}{signal}", b"words", content_type="text/plain").content == b"OK"
    ping = Ping.objects.get(check_id=beat["id"])
    assert (ping.signal, ping.exit_code, ping.body) == (*kept, "words")
    assert CheckState.objects.get(pk=beat["id"]).status == status


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/256", 400, b"invalid url format"), ("/1000", 400, b"invalid url format"), ("/begin", 400, b"invalid url format"),
        ("?rid=x", 400, b"invalid uuid format"), ("?rid=0_00000000000000000000000000000a", 400, b"invalid uuid format"), ("/1/2", 404, None),
    ],
)  # fmt: skip
def test_what_no_client_means_is_refused(beat: dict[str, Any], path: str, code: int, words: bytes | None) -> None:
    answer = Client().get(f"/ping/{beat['id']}{path}")
    assert answer.status_code == code
    assert words is None or answer.content == words
    assert not Ping.objects.exists()


def test_strangers_and_other_kinds_cannot_be_pinged(beat: dict[str, Any], api: Api) -> None:
    site = api("POST", "checks/", {"name": "site", "kind": "http", "target": "http://127.0.0.1:1/"}).json()
    assert Client().get(f"/ping/{uuid.uuid4()}").status_code == 404
    assert Client().get(f"/ping/{site['id']}").status_code == 404
    assert Client().delete(f"/ping/{beat['id']}").status_code == 405
    api("PATCH", f"checks/{beat['id']}/", {"options": {"methods": "post"}})
    assert Client().get(f"/ping/{beat['id']}").status_code == 405
    assert Client().post(f"/ping/{beat['id']}").status_code == 200


@pytest.mark.parametrize("body", [b"\x00\xff\xfe rubbish", b"x" * 10_001, "ünïcode \ud7ff".encode()])
def test_a_body_is_made_storable_and_bounded(beat: dict[str, Any], body: bytes) -> None:
    assert Client().post(f"/ping/{beat['id']}/fail", body, content_type="application/octet-stream").status_code == 200
    kept = Ping.objects.get(check_id=beat["id"]).body
    assert "\x00" not in kept
    assert len(kept.encode()) <= 30_000
    assert len(kept) <= 10_000


def test_pings_by_slug_make_the_check_when_asked_to(cast: Cast, api: Api) -> None:
    home = f"/ping/{cast.project.ping_key}"
    assert Client().get(f"{home}/nightly").status_code == 404
    made = Client().get(f"{home}/nightly/start?create=1")
    assert (made.status_code, made.content) == (201, b"Created")
    check = Check.objects.get(project=cast.project, kind="heartbeat")
    assert (check.name, check.interval_s, check.options["grace_s"]) == ("nightly", 86_400, 3_600)
    assert Client().post(f"{home}/nightly?create=1").content == b"OK"
    assert CheckState.objects.get(pk=check.pk).status == "up"
    assert [ping.signal for ping in Ping.objects.order_by("number")] == ["start", "success"]
    assert Client().get(f"{home}/Not%20A%20Slug?create=1").status_code == 400
    assert Client().get(f"/ping/{'x' * 22}/nightly?create=1").status_code == 404
    assert api("GET", f"checks/{check.pk}/").json()["ping_url"].endswith(f"/ping/{check.ping_secret}")


def test_the_api_tells_what_was_heard_and_what_is_due(beat: dict[str, Any], api: Api, stranger: Api) -> None:
    rid = uuid.uuid4()
    Client().get(f"/ping/{beat['id']}/start?rid={rid}")
    Client().post(f"/ping/{beat['id']}/7?rid={rid}", b"broken", content_type="text/plain", headers={"User-Agent": "backup/1"})
    pings = api("GET", f"checks/{beat['id']}/pings/").json()["results"]
    assert [(ping["number"], ping["signal"], ping["exit_code"]) for ping in pings] == [(2, "fail", 7), (1, "start", None)]
    assert (pings[0]["rid"], pings[0]["body"], pings[0]["agent"]) == (str(rid), "broken", "backup/1")
    assert pings[0]["runtime_ms"] >= 0
    due = api("GET", f"checks/{beat['id']}/due/").json()
    assert due["deadline_at"] is not None
    assert len(due["next"]) == 5
    for path in ("pings", "due"):
        assert stranger("GET", f"checks/{beat['id']}/{path}/").status_code == 404


def test_due_times_can_be_seen_before_saving(api: Api) -> None:
    given = {"name": "x", "kind": "heartbeat", "options": {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "grace_s": 60}}
    times = api("POST", "checks/due/", given).json()["next"]
    assert len(times) == 5
    assert {time["expected_at"][11:19] for time in times} <= {"01:00:00", "02:00:00"}
    refused = api("POST", "checks/due/", {**given, "options": {"cron": "61 * * * *"}})
    assert refused.json()["error"]["details"].keys() == {"options.cron"}
    assert api("POST", "checks/trial/", given).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_a_client_of_healthchecks_io_works_unchanged(live_server: LiveServer) -> None:
    """Run the package `healthchecks-decorator` against a live server: start, success with a body, failure."""
    project = Project.objects.create(organization=Organization.objects.create(name="Acme"), name="Web")
    spec = CheckSpec("nightly", "heartbeat", "", {})
    pk = create_check(actor=SYSTEM, project=project, spec=spec, resource=None, now=NOW).pk

    @healthcheck(url=f"{live_server.url}/ping/{pk}", send_start=True, send_diagnostics=True)
    def job(*, fails: bool) -> dict[str, int]:
        if fails:
            raise ValueError("disk full")
        return {"copied": 3}

    job(fails=False)
    assert CheckState.objects.get(pk=pk).status == "up"
    with pytest.raises(ValueError, match="disk full"):
        job(fails=True)
    heard = [(ping.signal, ping.body) for ping in Ping.objects.order_by("number")]
    assert heard == [("start", ""), ("success", "copied=3"), ("start", ""), ("fail", "")]
    assert CheckState.objects.get(pk=pk).reason == "heartbeat_failed"
