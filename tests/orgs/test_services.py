"""Accounts, projects and keys: names are unique, nobody gives more than they have, and every act leaves a row."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.core.errors import FieldError
from apps.orgs.actors import SYSTEM, Actor
from apps.orgs.audit import changes_of
from apps.orgs.emails import normalized_email
from apps.orgs.models import ApiKey, AuditEntry, Membership, Organization, Project, Role, User
from apps.orgs.selectors import digest_of, find_member, is_set_up, projects_of
from apps.orgs.services import (
    KeyRoleError,
    SetUpError,
    bootstrap,
    change_password,
    change_project,
    create_api_key,
    create_project,
    note_use,
    revoke_api_key,
    set_up,
)
from tests.conftest import NOW, Cast

ADMINISTRATOR = Actor("user", name="alice@example.org", address="192.0.2.1")


def test_an_installation_is_set_up_once_by_its_first_operator(db: None) -> None:
    assert not is_set_up()
    user, project = set_up(email=" Me@Example.org ", password="correct horse", organization="Mine", project="Web", now=NOW)
    assert (user.email, user.is_superuser) == ("me@example.org", True)
    assert find_member(user=user, organization_id=project.organization_id) is not None
    with pytest.raises(SetUpError):
        set_up(email="other@example.org", password="correct horse", organization="Other", project="Web", now=NOW)
    assert AuditEntry.objects.get().action == "organization.set_up"


def test_setting_up_refuses_an_address_or_a_name_that_exists(db: None) -> None:
    User.objects.create_user("me@example.org", "correct horse")
    Organization.objects.create(name="Demo", is_demo=True)
    for email, organization in (("ME@example.org", "Mine"), ("you@example.org", "Demo")):
        with pytest.raises(FieldError):
            set_up(email=email, password="correct horse", organization=organization, project="Web", now=NOW)
    assert not is_set_up()


def test_a_projects_name_is_its_own_within_the_organization(cast: Cast) -> None:
    made = create_project(actor=ADMINISTRATOR, organization=cast.organization, name="API", now=NOW)
    with pytest.raises(FieldError):
        create_project(actor=ADMINISTRATOR, organization=cast.organization, name="API", now=NOW)
    with pytest.raises(FieldError):
        change_project(actor=ADMINISTRATOR, project=made, name=cast.project.name, retention_days=30, now=NOW)
    assert create_project(actor=ADMINISTRATOR, organization=cast.other, name="API", now=NOW).pk != made.pk


def test_a_change_that_changes_nothing_leaves_no_row(cast: Cast) -> None:
    project = cast.project
    change_project(actor=ADMINISTRATOR, project=project, name=project.name, retention_days=project.retention_days, now=NOW)
    assert not AuditEntry.objects.exists()
    change_project(actor=ADMINISTRATOR, project=project, name=project.name, retention_days=7, now=NOW)
    row = AuditEntry.objects.get()
    assert (row.actor_name, row.address, row.before, row.after) == (
        "alice@example.org", "192.0.2.1", {"retention_days": 90}, {"retention_days": 7},
    )  # fmt: skip


@pytest.mark.parametrize("maker", list(Role))
@pytest.mark.parametrize("wanted", list(Role))
def test_a_key_does_no_more_than_its_maker(cast: Cast, maker: Role, wanted: Role) -> None:
    if maker.covers(wanted):
        row, key = create_api_key(actor=SYSTEM, project=cast.project, name="k", role=wanted, now=NOW, maker_role=maker)
        assert row.digest == digest_of(key)
        assert key not in (row.digest, row.prefix)
        return
    with pytest.raises(FieldError, match="role"):
        create_api_key(actor=SYSTEM, project=cast.project, name="k", role=wanted, now=NOW, maker_role=maker)
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_once_by_somebody_who_covers_it(cast: Cast) -> None:
    row, _ = create_api_key(actor=SYSTEM, project=cast.project, name="k", role=Role.ADMIN, now=NOW)
    with pytest.raises(KeyRoleError):
        revoke_api_key(actor=SYSTEM, key=row, now=NOW, revoker_role=Role.MEMBER)
    for _ in range(2):
        revoke_api_key(actor=SYSTEM, key=row, now=NOW, revoker_role=Role.ADMIN)
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1


def test_the_use_of_a_key_is_written_once_a_minute(cast: Cast) -> None:
    row, _ = create_api_key(actor=SYSTEM, project=cast.project, name="k", role=Role.VIEWER, now=NOW)
    for seconds, expected in ((0, 0), (30, 0), (90, 90)):
        note_use(key=ApiKey.objects.get(pk=row.pk), now=NOW + timedelta(seconds=seconds))
        assert ApiKey.objects.get(pk=row.pk).last_used_at == NOW + timedelta(seconds=expected)


def test_bootstrap_may_be_repeated_and_replaces_its_key(db: None) -> None:
    values = {"email": "me@example.org", "organization": "Mine", "project": "Web", "now": NOW}
    user, project, first = bootstrap(password="correct horse", **values)  # type: ignore[arg-type]
    again, same, second = bootstrap(password="battery staple", **values)  # type: ignore[arg-type]
    assert (again.pk, same.pk) == (user.pk, project.pk)
    assert first != second
    assert list(ApiKey.objects.filter(revoked_at=None).values_list("digest", flat=True)) == [digest_of(second)]
    assert User.objects.get().check_password("battery staple")


def test_a_new_password_replaces_the_old_one(cast: Cast) -> None:
    change_password(actor=SYSTEM, project=cast.project, user=cast.alice, password="another long one", now=NOW)
    alice = User.objects.get(pk=cast.alice.pk)
    assert alice.check_password("another long one")
    assert not alice.check_password("correct horse")


def test_a_member_sees_the_projects_of_their_organizations_alone(cast: Cast) -> None:
    assert [project.pk for project in projects_of(user=cast.bob)] == [cast.project.pk]
    Membership.objects.create(organization=cast.other, user=cast.bob, role=Role.VIEWER)
    assert {project.pk for project in projects_of(user=cast.bob)} == {cast.project.pk, cast.others_project.pk}
    assert Project.objects.count() == 2


@pytest.mark.parametrize(
    ("typed", "normal"),
    [("A@B.C", "a@b.c"), (" a@b.c ", "a@b.c"), ("ａ@b.c", "a@b.c"), ("STRASSE@b.c", "strasse@b.c")],
)
def test_an_address_has_one_normal_form(typed: str, normal: str) -> None:
    assert normalized_email(typed) == normal
    assert normalized_email(normalized_email(typed)) == normal


def test_only_what_differs_is_a_change() -> None:
    assert changes_of({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ({"b": 2, "c": None}, {"b": 3, "c": 4})
