"""The first run, sign-in and a forgotten password, as a stranger meets them."""

from __future__ import annotations

import re

from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.orgs.models import Membership, Organization, Project, User
from apps.orgs.services import set_up
from tests.conftest import Cast


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
    assert Client().get("/").headers["Location"] == "/welcome/"
    set_up(email="me@example.org", password="correct horse", organization="Mine", project="Web")
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


def test_a_forgotten_password_is_chosen_anew_by_mail(cast: Cast) -> None:
    cache.clear()
    for address in ("alice@example.org", "nobody@example.org"):
        assert Client().post("/password/reset/", {"email": address}).headers["Location"] == "/password/reset/sent/"
    assert len(mail.outbox) == 1
    link = re.search(r"http://127\.0\.0\.1:8000(/password/choose/\S+)", str(mail.outbox[0].body))
    assert link is not None
    client = Client()
    there = client.get(link[1]).headers["Location"]
    assert client.post(there, {"new_password1": "another long one", "new_password2": "another long one"}).status_code == 302
    assert Client().post("/sign-in/", {"email": "alice@example.org", "password": "another long one"}).status_code == 302
    assert b"has been used" in Client().get(link[1], follow=True).content
