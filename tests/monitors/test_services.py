"""Specs become checks, resources keep their names apart, and regions are made once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.core.clock import to_ms
from apps.core.errors import FieldError
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec, masked_options, validate_spec
from apps.monitors.models import CORE, Check, Region, Resource
from apps.monitors.regions import change_region, create_region, ensure_region
from apps.monitors.resources import create_resource, ensure_resource, rename_resource
from apps.monitors.selectors import watched_resources
from apps.monitors.services import rotate_ping_secret
from apps.monitors.worker_environment import worker_environment
from apps.net.address_policy import AddressPolicy
from apps.orgs.actors import SYSTEM
from apps.orgs.models import AuditEntry
from tests.conftest import NOW, Cast

GOOD: dict[str, Any] = {"name": "Shop", "kind": "http", "target": "http://127.0.0.1:1/", "options": {}}


def make(cast: Cast, **changes: Any) -> Check:
    spec = CheckSpec(**{**GOOD, **changes})
    return check_commands.create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=NOW)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "telepathy"}, "kind"),
        ({"target": "not a url"}, "target"),
        ({"interval_s": 4}, "interval_s"),
        ({"interval_s": 86_401}, "interval_s"),
        ({"interval_s": 10, "timeout_s": 11}, "timeout_s"),
        ({"quorum": 3}, "quorum"),
        ({"regions": ("mars",)}, "regions"),
        ({"fail_after": 0}, "fail_after"),
        ({"options": {"method": "BREW"}}, "options.method"),
        ({"options": {"teapot": True}}, "options.teapot"),
    ],
)
def test_a_spec_that_cannot_be_used_names_its_field(cast: Cast, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as refused:
        validate_spec(CheckSpec(**{**GOOD, **changes}))
    assert refused.value.field == field


def test_all_errors_of_a_spec_are_named_at_once(cast: Cast) -> None:
    wrong = {"interval_s": 2, "target": "no url", "fail_after": 0, "quorum": 9, "options": {"method": "BREW", "teapot": True}}
    with pytest.raises(FieldError) as refused:
        validate_spec(CheckSpec(**{**GOOD, **wrong}))
    fields = {error.field for error in refused.value.all}
    assert fields == {"interval_s", "target", "fail_after", "quorum", "options.method", "options.teapot"}
    assert len(refused.value.all) == len(fields)


@pytest.mark.parametrize(
    ("kind", "target", "options", "field"),
    [
        ("http", "http://10.0.0.1/", {}, "target"),
        ("http", "http://shop.example/", {"proxy": "http://10.0.0.1:3128"}, "options.proxy"),
        ("http", "http://shop.example/", {"nameserver": "[::1]:53"}, "options.nameserver"),
        (
            "http", "http://shop.example/",
            {"auth": "oauth2", "token_url": "http://169.254.169.254/", "username": "a", "password": "b"}, "options.token_url",
        ),
        ("dns", "shop.example", {"nameserver": "192.168.0.1"}, "options.nameserver"),
    ],
)  # fmt: skip
def test_every_host_of_a_check_that_is_refused_is_named_when_saved(
    cast: Cast, kind: str, target: str, options: dict[str, Any], field: str
) -> None:
    spec = CheckSpec(**{**GOOD, "kind": kind, "target": target, "options": options})
    with pytest.raises(FieldError) as refused:
        validate_spec(spec, policy=AddressPolicy(private=False))
    assert refused.value.field == field
    assert validate_spec(spec, policy=AddressPolicy(private=True)).kind == kind


def test_a_check_brings_its_resource_and_its_default_regions(cast: Cast) -> None:
    check = make(cast)
    assert check.resource.name == "Shop"
    assert set(check.region_ids) == {region.pk for region in cast.regions.values()}
    assert list(watched_resources(project=cast.project)) == [check.resource]


def test_secrets_are_stored_apart_and_shown_as_masks(cast: Cast) -> None:
    check = Check.objects.get(pk=make(cast, options={"auth": "bearer", "token": "very secret"}).pk)
    assert "very secret" not in str(check.options)
    assert "very secret" not in str(masked_options(check))
    assert check.secrets["token"] == "very secret"


def test_a_resource_has_one_name_in_its_project(cast: Cast) -> None:
    shop = create_resource(actor=SYSTEM, project=cast.project, name="Shop", now=NOW)
    assert ensure_resource(project=cast.project, name="Shop") == shop
    with pytest.raises(FieldError):
        create_resource(actor=SYSTEM, project=cast.project, name="Shop", now=NOW)
    other = create_resource(actor=SYSTEM, project=cast.project, name="Mail", now=NOW)
    with pytest.raises(FieldError):
        rename_resource(actor=SYSTEM, resource=other, name="Shop", now=NOW)
    rename_resource(actor=SYSTEM, resource=other, name="Post", now=NOW)
    assert set(Resource.objects.values_list("name", flat=True)) == {"Shop", "Post"}


def test_a_deleted_check_is_not_live_and_its_row_stays(cast: Cast) -> None:
    check = make(cast)
    check_commands.delete_check(actor=SYSTEM, check_id=check.pk, now=NOW + timedelta(seconds=1))
    assert not Check.objects.live().filter(pk=check.pk).exists()
    assert Check.objects.get(pk=check.pk).deleted_at is not None
    assert not watched_resources(project=cast.project).exists()


def test_a_new_ping_address_ends_the_old_one(cast: Cast) -> None:
    check = make(cast, kind="heartbeat", target="")
    before = check.ping_secret
    rotate_ping_secret(actor=SYSTEM, now=NOW, check=check)
    assert Check.objects.get(pk=check.pk).ping_secret not in (before, check.pk)


def test_a_region_is_made_once_and_never_the_cores(db: None) -> None:
    made = ensure_region(slug="fra", name="Frankfurt")
    assert ensure_region(slug="fra", name="Other") == made
    assert (made.name, made.is_enabled) == ("Frankfurt", True)
    with pytest.raises(FieldError):
        ensure_region(slug=CORE)


def test_a_region_is_renamed_and_taken_out_of_the_probing(cast: Cast) -> None:
    made = ensure_region(slug="fra")
    change_region(actor=SYSTEM, project=cast.project, region=made, name="Frankfurt", is_enabled=False, now=NOW)
    assert Region.objects.get(slug="fra").name == "Frankfurt"
    assert not Region.objects.probing().filter(slug="fra").exists()
    assert AuditEntry.objects.get().after == {"slug": "fra", "name": "Frankfurt", "is_enabled": False}


def test_a_region_is_not_made_twice_from_the_page(cast: Cast) -> None:
    create_region(actor=SYSTEM, project=cast.project, slug="fra", name="Frankfurt", now=NOW)
    with pytest.raises(FieldError):
        create_region(actor=SYSTEM, project=cast.project, slug="fra", name="Other", now=NOW)


def test_a_worker_is_told_its_region_and_its_key(db: None) -> None:
    made = ensure_region(slug="fra")
    environment = worker_environment(made)
    assert (environment["GORUPTIME_REGION"], environment["GORUPTIME_REGION_KEY"]) == ("fra", made.key)
    assert all(environment.values())


def test_a_check_is_due_once_after_it_was_made(cast: Cast) -> None:
    check = make(cast)
    assert check.state.extras == [to_ms(NOW)]
