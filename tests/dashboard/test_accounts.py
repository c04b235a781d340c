"""First-run setup, sign-in and password reset, as used by somebody who is not signed in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.orgs.models import AuditEntry, Membership, Organization, Project, User
from apps.orgs.password_reset import send_password_reset
from apps.orgs.services import set_up
from tests.conftest import NOW, Cast

NOT_KEPT = "max-age=0, no-cache, no-store, must-revalidate, private"


def test_the_first_visit_makes_an_owner_who_operates_the_installation(db: None) -> None:
    client = Client()
    assert client.get("/").headers["Location"] == "/welcome/"
    values = {"email": "me@example.org", "password": "short", "organization": "Mine", "project": "Web"}
    refused = client.post("/welcome/", values)
    assert refused.status_code == 422
    assert b"too short" in refused.content
    made = client.post("/welcome/", {**values, "password": "correct horse battery"})
    project = Project.objects.get()
    assert made.headers["Location"] == f"/projects/{project.pk}/checks/new/"
    assert User.objects.get().is_superuser
    assert Membership.objects.get().role == "owner"
    assert Client().get("/welcome/").status_code == 302
    assert Client().get("/").headers["Location"] == "/sign-in/"


def test_the_demo_does_not_take_the_first_account(db: None) -> None:
    demo = Organization.objects.create(name="Demo", is_demo=True)
    Membership.objects.create(organization=demo, user=User.objects.create_user("demo@example.org", "x" * 12), role="owner")
    assert Client().get("/").headers["Location"] == "/sign-in/"
    assert b"/welcome/" in Client().get("/sign-in/").content
    assert b"/sign-in/" in Client().get("/welcome/").content
    set_up(email="me@example.org", password="correct horse", organization="Mine", project="Web", now=NOW)
    assert Client().get("/").headers["Location"] == "/sign-in/"


def test_guesses_are_throttled_on_both_doors_together(cast: Cast) -> None:
    cache.clear()
    body = {"email": "alice@example.org", "password": "wrong"}
    page = [Client().post("/sign-in/", body).status_code for _ in range(6)]
    api = [Client().post("/api/v1/session/", body, content_type="application/json").status_code for _ in range(5)]
    assert page == [422] * 6
    assert api == [401] * 4 + [429]
    right = {**body, "password": "correct horse"}
    assert Client().post("/sign-in/", right).status_code == 429
    cache.clear()
    assert Client().post("/sign-in/", right).status_code == 302


def test_a_forgotten_password_is_chosen_anew_by_mail(
    cast: Cast, woken: list[tuple[str, dict[str, Any]]], django_capture_on_commit_callbacks: Any
) -> None:
    cache.clear()
    with django_capture_on_commit_callbacks(execute=True):
        for address in ("ALICE@example.org ", "nobody@example.org"):
            answer = Client().post("/password/reset/", {"email": address})
            assert (answer.headers["Location"], answer.headers["Cache-Control"]) == ("/password/reset/sent/", NOT_KEPT)
    assert mail.outbox == []  # a worker sends it, so that the response time does not reveal who has an account
    assert [send_password_reset(**arguments) for _, arguments in woken] == [True, False]
    assert len(mail.outbox) == 1
    link = re.search(r"http://127\.0\.0\.1:8000(/password/choose/\S+)", str(mail.outbox[0].body))
    assert link is not None
    client = Client()
    there = client.get(link[1]).headers["Location"]
    assert client.post(there, {"new_password1": "another long one", "new_password2": "another long one"}).status_code == 302
    assert Client().post("/sign-in/", {"email": "alice@example.org", "password": "another long one"}).status_code == 302
    assert b"already used" in Client().get(link[1], follow=True).content
    reset = AuditEntry.objects.get(action="user.password_reset")
    assert (reset.actor_id, reset.project_id) == (cast.alice.pk, cast.project.pk)


@pytest.mark.parametrize("typed", ["mıssis@example.org", "miſſis@example.org", "MISSIS@example.org ", "ｍissis@example.org"])
def test_one_account_has_one_count_of_guesses_however_it_is_written(cast: Cast, typed: str) -> None:
    """Each spelling either is another address without an account (422) or counts towards the account's limit (429)."""
    cache.clear()
    User.objects.create_user("missis@example.org", "correct horse")
    for _ in range(10):
        Client().post("/sign-in/", {"email": "missis@example.org", "password": "wrong"})
    answer = Client().post("/sign-in/", {"email": typed, "password": "correct horse"})
    assert answer.status_code in (422, 429)


def test_the_admin_is_entered_by_the_same_door(cast: Cast) -> None:
    """It redirects to the common sign-in, which counts the attempts; a user who is no operator gets 403."""
    cache.clear()
    answer = Client().post("/admin/login/?next=/admin/orgs/", {"username": "alice@example.org", "password": "wrong"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in/?next=/admin/orgs/")
    client = Client()
    client.force_login(cast.alice)
    assert client.get("/admin/login/").status_code == 403
