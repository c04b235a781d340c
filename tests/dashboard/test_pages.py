"""The dashboard's pages as a browser without JavaScript uses them: plain links and forms."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.core.clock import to_ms
from apps.core.masks import MASK
from apps.incidents.models import Incident, IncidentUpdate
from apps.monitors.models import Check, Region
from apps.monitors.regions import WorkerReport, record_region_message
from apps.notifications.models import Channel, Delivery
from apps.orgs.models import ApiKey, User
from apps.probes import wire
from apps.probes.reasons import Verdict
from apps.probes.wire import Run
from apps.results.models import Trial
from apps.results.record_runs import RecordedRun, record_runs
from tests.conftest import Cast
from tests.incidents.world import World

HTTP = {
    "kind": "http", "name": "Shop", "target": "https://127.0.0.1/", "interval_s": "30", "resource_name": "", "regions": ["eu"],
    "fail_after": "2", "recover_after": "1", "options.method": "POST", "options.accepted_statuses": "200-299, 404",
    "options.keyword": "ok", "options.headers": "Authorization: Bearer x\nX-A: b:c", "options.body": "hi",
    "options.max_redirects": "3", "options.verify_tls": "on", "options.ip_version": "auto",
}  # fmt: skip


@pytest.fixture
def alice(cast: Cast) -> Client:
    cache.clear()
    client = Client()
    client.force_login(cast.alice)
    return client


def test_what_was_typed_becomes_a_form_with_proposals(cast: Cast, alice: Client) -> None:
    page = alice.get(f"/projects/{cast.project.pk}/checks/new/", {"url": "example.org"}).content.decode()
    assert 'value="https://example.org/"' in page
    assert "example.org:443" in page
    port = alice.get(f"/projects/{cast.project.pk}/checks/new/", {"url": "db.example.org:5432"}).content.decode()
    assert 'value="db.example.org:5432"' in port
    assert "accepts a connection" in port


HEARTBEAT = {
    "kind": "heartbeat", "name": "Backup", "target": "", "interval_s": "1 h", "resource_name": "", "fail_after": "1",
    "recover_after": "1", "options.grace_s": "15 min", "options.timezone": "UTC", "options.methods": "any",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "interval_s", "period_s", "shown"),
    [
        ({}, 3_600, None, "1 h"),
        ({"interval_s": "30 d"}, 86_400, 30 * 86_400, "30 d"),
        ({"interval_s": "30 d", "options.cron": "30 2 1 * *"}, 86_400, None, "30 2 1 * *"),
    ],
)
def test_a_heartbeat_is_expected_at_any_interval_or_by_cron(
    cast: Cast, alice: Client, changes: dict[str, str], interval_s: int, period_s: int | None, shown: str
) -> None:
    alice.post(f"/projects/{cast.project.pk}/checks/new/?kind=heartbeat", {**HEARTBEAT, **changes})
    check = Check.objects.get()
    assert (check.interval_s, check.options["period_s"], check.options["grace_s"]) == (interval_s, period_s, 900)
    form = alice.get(f"/checks/{check.pk}/edit/").content.decode()
    assert f'value="{shown}"' in form
    setup = alice.get(f"/checks/{check.pk}/").content.decode().partition("Configuration")[2]
    assert (shown in setup, "15 min" in setup) == (True, True)


def test_an_interval_that_no_heartbeat_may_have_is_named_at_its_field(cast: Cast, alice: Client) -> None:
    page = alice.post(f"/projects/{cast.project.pk}/checks/new/?kind=heartbeat", {**HEARTBEAT, "interval_s": "400 d"})
    assert page.status_code == 422
    assert page.context["form"].errors["interval_s"] == ["Must be a whole number from 5 to 31536000."]


def test_a_check_is_made_edited_paused_resumed_and_deleted(cast: Cast, alice: Client) -> None:
    made = alice.post(f"/projects/{cast.project.pk}/checks/new/?url=https://127.0.0.1/", {**HTTP, "also": ["tcp"]})
    check = Check.objects.get(kind="http")
    assert made.headers["Location"] == f"/checks/{check.pk}/"
    assert (check.options["accepted_statuses"], check.options["verify_tls"]) == (["200-299", "404"], True)
    assert check.secrets == {"headers": {"Authorization": "Bearer x", "X-A": "b:c"}, "body": "hi"}
    assert (check.interval_s, check.fail_after, check.region_ids) == (30, 2, [cast.regions["eu"].pk])
    port = Check.objects.get(kind="tcp")
    assert (port.target, port.resource_id) == ("127.0.0.1:443", check.resource_id)

    page = alice.get(f"/checks/{check.pk}/edit/").content.decode()
    assert "Bearer x" not in page
    assert f"Authorization: {MASK}" in page
    masked = {"options.headers": f"Authorization: {MASK}\nX-A: new", "options.body": MASK, "name": "Renamed"}
    edited = {**HTTP, **masked}
    del edited["options.verify_tls"]
    assert alice.post(f"/checks/{check.pk}/edit/", edited).status_code == 302
    check.refresh_from_db()
    assert (check.name, check.options["verify_tls"]) == ("Renamed", False)
    assert check.secrets == {"headers": {"Authorization": "Bearer x", "X-A": "new"}, "body": "hi"}

    assert alice.post(f"/checks/{check.pk}/pause/").status_code == 302
    assert b"Paused" in alice.get(f"/checks/{check.pk}/").content
    assert b"resume it to run it" in alice.post(f"/checks/{check.pk}/run/", follow=True).content
    alice.post(f"/checks/{check.pk}/resume/")
    assert not Check.objects.get(pk=check.pk).is_paused
    assert b"Delete Renamed?" in alice.get(f"/checks/{check.pk}/delete/").content
    alice.post(f"/checks/{check.pk}/delete/")
    assert alice.get(f"/checks/{check.pk}/").status_code == 404


@pytest.mark.parametrize(
    ("wrong", "field", "words"),
    [
        ({"target": "ftp://x"}, "target", "begins with http"),
        ({"interval_s": "2"}, "interval_s", "from 5 to"),
        ({"interval_s": "9" * 30}, "interval_s", "Write a length of time"),
        ({"options.accepted_statuses": "yes"}, "options.accepted_statuses", "options.accepted_statuses"),
        ({"options.headers": "nonsense"}, "options.headers", "has no colon"),
        ({"options.headers": "Bad Name: x"}, "options.headers", "options.headers"),
        ({"quorum": "3"}, "quorum", "number of regions"),
        ({"regions": ["mars"]}, "regions", "not one of the available"),
        ({"name": ""}, "name", "required"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field_and_what_was_typed_stays(
    cast: Cast, alice: Client, wrong: dict[str, Any], field: str, words: str
) -> None:
    answer = alice.post(f"/projects/{cast.project.pk}/checks/new/", {**HTTP, **wrong})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert f'name="{field}"' in page
    assert 'value="ok"' in page or "options.keyword" in wrong
    assert not Check.objects.exists()


def test_malformed_and_refused_values_are_shown_in_one_round(cast: Cast, alice: Client) -> None:
    wrong = {"name": "", "interval_s": "soon", "target": "ftp://x", "quorum": "7", "options.method": "BREW"}
    page = alice.post(f"/projects/{cast.project.pk}/checks/new/", {**HTTP, **wrong}).content.decode()
    for words in ("This field is required", "Write a length of time", "begins with http", "number of regions"):
        assert words in page
    assert page.count('class="error"') >= 4


def test_a_time_zone_of_the_profile_is_that_of_the_pages(cast: Cast, alice: Client) -> None:
    url = f"/projects/{cast.project.pk}/profile/"
    assert alice.post(url, {"form": "profile", "name": "Alice", "time_zone": "Mars/Olympus"}).status_code == 422
    assert alice.post(url, {"form": "profile", "name": "a" * 101, "time_zone": ""}).status_code == 422
    assert alice.post(url, {"form": "profile", "name": "Alice", "time_zone": "Europe/Berlin"}).status_code == 302
    assert 'data-zone="Europe/Berlin"' in alice.get(url).content.decode()


def test_a_test_shows_its_answer_without_script(cast: Cast, alice: Client) -> None:
    shown = alice.post(f"/projects/{cast.project.pk}/checks/new/", {**HTTP, "act": "test"})
    trial = Trial.objects.get()
    assert f"/projects/{cast.project.pk}/trials/{trial.pk}/" in shown.content.decode()
    assert not Check.objects.exists()
    part = alice.post(f"/projects/{cast.project.pk}/checks/new/", {**HTTP, "act": "test"}, headers={"HX-Request": "true"})
    assert part.content.decode().startswith('<div id="trial"')


def test_bulk_acts_reach_what_was_chosen_and_delete_asks(cast: Cast, alice: Client) -> None:
    checks = [World(cast, name=f"c{n}").check for n in range(3)]
    foreign = World(cast, name="foreign").check
    Check.objects.filter(pk=foreign.pk).update(project=cast.others_project, organization=cast.other)
    there, ids = f"/projects/{cast.project.pk}/checks/", [str(check.pk) for check in [*checks[:2], foreign]]
    alice.post(there, {"act": "pause", "id": [*ids, "nonsense"]})
    assert set(Check.objects.filter(is_paused=True)) == set(checks[:2])
    asked = alice.post(there, {"act": "delete", "id": ids})
    assert b"Delete 2 checks?" in asked.content
    assert Check.objects.filter(deleted_at=None).count() == 4
    alice.post(there, {"act": "delete", "id": ids, "sure": "1"})
    assert set(Check.objects.filter(deleted_at=None)) == {checks[2], foreign}


def test_a_list_filters_sorts_and_never_sends_all(cast: Cast, alice: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(60):
        World(cast, name=f"shop {number:02}" if number % 2 else f"blog {number:02}")
    there = f"/projects/{cast.project.pk}/checks/"

    def names(**asked: str) -> list[str]:
        return re.findall(r"data-open href=\"[^\"]+\">([^<]+)<", alice.get(there, asked).content.decode())

    assert len(names()) == 30
    assert len(names(page="2")) == 30
    assert names(q="SHOP 59") == ["shop 59"]
    assert names(sort="-name")[0] == "shop 59"
    assert names(status="down") == []
    assert len(names(kind="http", region="eu", page="99")) == 30
    assert len(names(sort="nonsense", status="nonsense")) == 30
    with django_assert_max_num_queries(18):
        alice.get(there)


def test_a_live_part_answers_nothing_until_something_is_new(cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(cast)
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.moment)
    for there in (f"/projects/{cast.project.pk}/", f"/checks/{world.check.pk}/"):
        page = alice.get(there).content.decode()
        found = re.search(r'hx-get="([^"]+live=[^"]+)"', page)
        assert found is not None
        live = found[1].replace("&amp;", "&")
        assert alice.get(live, headers={"HX-Request": "true"}).status_code == 204
    world.vote(world.first, eu="down")
    part = alice.get(live, headers={"HX-Request": "true"})
    assert part.status_code == 200
    body = part.content.decode().lstrip()
    assert body.startswith('<div id="live"') or body.startswith('<div \nid="live"') or 'id="live"' in body[:40]
    assert 'data-worst="down"' in body
    assert "<html" not in body


def test_an_incident_is_acknowledged_and_commented(cast: Cast, alice: Client) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    incident = Incident.objects.get()
    page = alice.get(f"/incidents/{incident.pk}/").content.decode()
    assert "127.0.0.1:1 refused the connection" in page
    alice.post(f"/incidents/{incident.pk}/acknowledge/")
    alice.post(f"/incidents/{incident.pk}/", {"text": "<b>disk</b>", "is_public": "on"})
    page = alice.get(f"/incidents/{incident.pk}/").content.decode()
    assert "Acknowledged by alice@example.org" in page
    assert "&lt;b&gt;disk&lt;/b&gt;" in page
    assert IncidentUpdate.objects.get().is_public
    refused = alice.post(f"/incidents/{incident.pk}/resolve/", follow=True).content.decode()
    assert "still fails" in refused


def test_channels_are_made_tested_edited_and_deleted(cast: Cast, alice: Client) -> None:
    there = f"/projects/{cast.project.pk}/channels/new/webhook/"
    refused = alice.post(there, {"name": "Ops", "config.url": "nonsense", "config.secret": ""})
    assert refused.status_code == 422
    alice.post(there, {"name": "Ops", "config.url": "http://127.0.0.1:1/hook", "config.secret": "s" * 20})
    channel = Channel.objects.get()
    page = alice.get(f"/channels/{channel.pk}/").content.decode()
    assert "s" * 20 not in page
    alice.post(
        f"/channels/{channel.pk}/",
        {"name": "Ops 2", "config.url": "http://127.0.0.1:2/", "config.secret": MASK, "is_enabled": "on"},
    )
    channel.refresh_from_db()
    assert (channel.name, channel.config) == ("Ops 2", {"url": "http://127.0.0.1:2/", "secret": "s" * 20})
    alice.post(f"/channels/{channel.pk}/test/")
    assert Delivery.objects.get().kind == "channel.test"
    alice.post(f"/channels/{channel.pk}/delete/")
    channel.refresh_from_db()
    assert channel.deleted_at is not None
    mails = alice.post(
        f"/projects/{cast.project.pk}/channels/new/email/", {"name": "Mail", "config.to": "a@example.org\nb@example.org"}
    )
    assert mails.status_code == 302
    assert Channel.objects.get(kind="email").config == {"to": ["a@example.org", "b@example.org"]}


def test_a_key_is_shown_once(cast: Cast, alice: Client) -> None:
    page = alice.post(f"/projects/{cast.project.pk}/settings/keys/new/", {"name": "CI", "role": "viewer", "days": "30"})
    key = re.search(r"grt_[\w-]{40,}", page.content.decode())
    assert key is not None
    assert page.headers["Cache-Control"].startswith("max-age=0")
    assert key[0] not in alice.get(f"/projects/{cast.project.pk}/settings/").content.decode()
    row = ApiKey.objects.get()
    alice.post(f"/projects/{cast.project.pk}/settings/keys/{row.pk}/revoke/")
    row.refresh_from_db()
    assert row.revoked_at is not None


def test_no_page_runs_code_from_its_markup(cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content policy would block such code; this test names the page that contains it."""
    world = World(cast, name='"><script>alert(1)</script>')
    world.vote(world.first, eu="down")
    monkeypatch.setattr("django.utils.timezone.now", lambda: world.moment)
    for there in ("", "checks/", "resources/", "incidents/"):
        answer = alice.get(f"/projects/{cast.project.pk}/{there}")
        page = answer.content.decode()
        assert "<script>alert" not in page
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page)
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
    figures = alice.get(f"/checks/{world.check.pk}/").content.decode()
    bar = re.search(r'data-bar="([^"]+)"', figures)
    assert bar is not None
    runs = json.loads(unescape(bar[1]))["runs"]
    assert [run[1] for run in runs.values()] == ["d"]


def test_the_latency_figures_have_a_hole_where_nothing_ran(cast: Cast, alice: Client) -> None:
    world = World(cast)
    empty = alice.get(f"/checks/{world.check.pk}/latency.json").json()
    assert empty["t"] == []
    for asked in ("1h", "7d", "90d", "nonsense"):
        assert alice.get(f"/checks/{world.check.pk}/latency.json", {"range": asked}).status_code == 200


def test_every_page_of_the_admin_opens_for_operators_and_for_nobody_else(cast: Cast, alice: Client) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    operator = Client()
    operator.force_login(User.objects.create_superuser("op@example.org", "correct horse"))
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        listed = reverse(f"{name}_changelist")
        assert alice.get(listed).status_code == 302, listed
        assert operator.get(listed, {"q": "a"}).status_code == 200, listed
        row = model._default_manager.first()
        if row is not None:
            assert operator.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200, listed
    runs = reverse("admin:runs")
    assert alice.get(runs).status_code == 302
    assert b"connect_refused" in operator.get(runs, {"check": str(world.check.pk)}).content
    assert b"That is not an id" in operator.get(runs, {"check": "x"}).content


def test_an_edit_keeps_what_the_form_does_not_show(cast: Cast, alice: Client) -> None:
    check = World(cast, regions=("eu", "us"), quorum=2, options={"keyword": " ok", "max_redirects": 2}).check
    Region.objects.filter(slug="us").update(is_enabled=False)
    before = Check.objects.get(pk=check.pk)
    kept = {"interval_s": "10", "timeout_s": "5", "quorum": "2", "fail_after": "1", "name": "Renamed", "regions": ["eu"]}
    plain = {**HTTP, **kept, "target": check.target, "options.method": "GET", "options.body": "", "options.headers": ""}
    plain |= {"options.accepted_statuses": "200-299", "options.keyword": " ok", "options.max_redirects": "2"}
    assert alice.post(f"/checks/{check.pk}/edit/", plain).status_code == 302
    check.refresh_from_db()
    assert (check.name, check.region_ids, check.revision) == ("Renamed", before.region_ids, before.revision)
    assert check.options["keyword"] == " ok"
    alice.post(f"/checks/{check.pk}/edit/", {**plain, "options.max_redirects": ""})
    check.refresh_from_db()
    assert check.options["max_redirects"] == 5


def test_nonsense_in_an_address_is_no_error_of_ours(cast: Cast, alice: Client) -> None:
    check = World(cast).check
    for there in ("checks/", "resources/", "incidents/"):
        for query in ("q=%20", "page=-1", "page=99999999999", "sort=--", "status=x", "live=x"):
            assert alice.get(f"/projects/{cast.project.pk}/{there}?{query}").status_code == 200
        assert alice.get(f"/projects/{cast.project.pk}/{there}?q=%00").status_code == 400
    assert alice.get(f"/checks/{check.pk}/runs/?before=nonsense&verdict=down").status_code == 200
    assert alice.get("/sign-in/?next=x").status_code == 302


def test_pages_of_runs_lose_no_round(cast: Cast, alice: Client) -> None:
    world = World(cast, regions=("eu", "us"), interval_s=5)
    slots = [world.first + n * 1_000 for n in range(130)]
    for region in ("eu", "us"):
        runs = [Run(world.check.id, 1, slot, slot, 9, Verdict.UP, None, "", {}) for slot in slots]
        rows = [RecordedRun(run, cast.regions[region].id, keeps_facts=False) for run in runs[:: 1 if region == "eu" else 3]]
        record_runs(rows=rows, now_ms=slots[-1])
    seen, there = set(), f"/checks/{world.check.pk}/runs/"
    for _ in range(5):
        page = alice.get(there).content.decode()
        seen |= set(re.findall(r'id="run-(\d+-\d+)"', page))
        older = re.search(r'rel="next" href="([^"]+)"', page)
        if older is None:
            break
        there = older[1].replace("&amp;", "&")
    assert len(seen) == 130 + 44


def test_a_secret_that_was_made_is_shown_once(cast: Cast, alice: Client) -> None:
    there = f"/projects/{cast.project.pk}/channels/new/webhook/"
    page = alice.post(there, {"name": "Ops", "config.url": "http://127.0.0.1:1/hook", "config.secret": ""}).content.decode()
    assert Channel.objects.get().config["secret"] in page


def test_a_database_that_is_away_is_said_in_words(
    cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def away(**_: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("apps.dashboard.views.overview.summarize_project", away)
    answer = alice.get(f"/projects/{cast.project.pk}/")
    assert answer.status_code == 503
    assert b"does not answer" in answer.content
    assert "the database is away" in caplog.text


def test_what_another_deleted_meanwhile_is_not_there(cast: Cast, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    check = World(cast).check

    def gone(**_: Any) -> None:
        raise Check.DoesNotExist

    monkeypatch.setattr("apps.incidents.services.check_commands.pause_check", gone)
    assert alice.post(f"/checks/{check.pk}/pause/").status_code == 404


def test_folded_options_tell_what_is_unusual(cast: Cast, alice: Client) -> None:
    page = alice.get(f"/projects/{cast.project.pk}/checks/new/?url=https://example.org/").content.decode()
    assert 'HTTP options <span class="sub">method: GET, accepted statuses: 200-299</span>' in page
    options = {"method": "HEAD", "verify_tls": False, "assertions": ["[status] == 200"]}
    check = World(cast, options=options).check
    page = alice.get(f"/checks/{check.pk}/edit/").content.decode()
    assert 'HTTP options <span class="sub">method: HEAD, assertions</span>' in page
    assert 'TLS and certificate <span class="sub">verify the certificate: no</span>' in page
    assert 'Authentication <span class="sub">authentication: None</span>' in page


def test_a_region_that_reaches_none_of_its_canaries_is_impaired(cast: Cast, alice: Client) -> None:
    def canaries(**seen: bool) -> tuple[bool, bool]:
        now = timezone.now()
        heartbeat = wire.Heartbeat(is_settled=True, offset_ms=0, in_flight=0, dropped={}, canaries=seen)
        report = WorkerReport("a", to_ms(now), heartbeat)
        record_region_message(region_id=cast.regions["eu"].pk, sent_at=to_ms(now), report=report, now=now)
        page = alice.get(f"/projects/{cast.project.pk}/regions/").content.decode()
        shown = next(row for row in alice.get("/api/v1/regions/").json()["results"] if row["slug"] == "eu")
        return "No network" in page, shown["is_impaired"]

    assert canaries() == (False, False)
    assert canaries(a=True, b=False) == (False, False)
    assert canaries(a=False, b=False) == (True, True)
