"""The audit log: every change made through the API writes one entry with actor, address and changed values."""

from __future__ import annotations

from apps.orgs.actors import SYSTEM
from apps.orgs.models import AuditEntry, Role
from apps.orgs.services import create_api_key
from tests.conftest import NOW, Api, Cast


def acts() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def made_check(api: Api) -> str:
    body = {
        "name": "Shop",
        "kind": "http",
        "target": "https://127.0.0.1:1/",
        "options": {"auth": "bearer", "token": "verysecret"},
    }
    answer = api("POST", "checks/", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def test_the_acts_of_a_check_are_kept_in_order(api: Api) -> None:
    AuditEntry.objects.all().delete()
    check = made_check(api)
    api("PATCH", f"checks/{check}/", {"interval_s": 300})
    api("PATCH", f"checks/{check}/", {"interval_s": 300})
    api("POST", f"checks/{check}/pause/")
    api("POST", f"checks/{check}/pause/")
    api("POST", f"checks/{check}/resume/")
    api("DELETE", f"checks/{check}/")
    assert acts() == ["check.created", "check.edited", "check.paused", "check.resumed", "check.deleted"]
    edited = AuditEntry.objects.get(action="check.edited")
    assert (edited.before, edited.after) == ({"interval_s": 60}, {"interval_s": 300})


def test_a_row_names_its_actor_and_hides_secrets(api: Api, cast: Cast) -> None:
    check = made_check(api)
    row = AuditEntry.objects.get(action="check.created")
    assert (row.actor_kind, row.subject_id, row.project_id) == ("api_key", check, cast.project.pk)
    assert row.actor_name.startswith("tests (")
    assert row.address == "127.0.0.1"
    assert "verysecret" not in str(row.after)
    assert row.request_id


def test_a_new_secret_is_told_of_without_being_shown(api: Api) -> None:
    check = made_check(api)
    assert api("PATCH", f"checks/{check}/", {"options": {"auth": "bearer", "token": "anothersecret"}}).status_code == 200
    row = AuditEntry.objects.get(action="check.edited")
    assert (row.before, row.after) == ({}, {"secrets": "changed"})


def test_the_request_id_is_the_proxys_where_it_is_one(cast: Cast) -> None:
    key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="k", role=Role.ADMIN)[1]
    named = Api(**{"X-API-Key": key, "X-Request-Id": "proxy-12345678"})
    assert named("POST", "resources/", {"name": "Shop"}).headers["X-Request-Id"] == "proxy-12345678"
    assert AuditEntry.objects.get(action="resource.created").request_id == "proxy-12345678"
    forged = Api(**{"X-API-Key": key, "X-Request-Id": "a b"})
    assert forged("GET", "resources/").headers["X-Request-Id"] != "a b"


def test_a_refused_act_leaves_none(api: Api, stranger: Api) -> None:
    check = made_check(api)
    before = acts()
    assert stranger("POST", f"checks/{check}/pause/").status_code == 404
    assert api("PATCH", f"checks/{check}/", {"interval_s": -1}).status_code == 400
    assert acts() == before
