"""Shared fixtures. Alice owns the organization Acme, Bob is a viewer in it, Charlie owns another organization."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.test import Client

from apps.core.clock import to_ms
from apps.monitors.models import Region
from apps.monitors.regions import ensure_region
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Membership, Organization, Project, Role, User
from apps.orgs.services import create_api_key
from apps.results.partitions import ensure_partitions

# No deadline per example: a busy machine must not fail a property test.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
NOW_MS = to_ms(NOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip `tests/browser` unless it is named on the command line (`make browser`): only these tests need Chromium."""
    is_browser = collection_path.name == "browser"
    return True if is_browser and not any("browser" in argument for argument in config.args) else None


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        ensure_partitions(now=NOW)
        ensure_partitions(now=datetime.now(UTC))


@pytest.fixture(autouse=True)
def _runs_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty `check_runs` after a transactional test: Django's flush skips unmanaged tables."""
    yield
    if "transactional_db" in request.fixturenames:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE check_runs")


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Record wake-ups (`core.wake`) instead of sending them: only the end-to-end tests use a broker."""
    woken: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr("apps.core.wake._send", lambda task, kwargs: woken.append((task, kwargs)))
    return woken


@pytest.fixture
def woken(_no_broker: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    return _no_broker


@dataclass(frozen=True)
class Cast:
    """The organizations, projects, users and regions that most tests start from."""

    organization: Organization
    project: Project
    other: Organization
    others_project: Project
    alice: User
    bob: User
    charlie: User
    regions: dict[str, Region]


def make_live(region: Region, at_ms: int, *, since_ms: int | None = None) -> None:
    """Save the region as heard from until `at_ms` without a gap; with `since_ms`, as silent before that moment."""
    region.heard_at_ms, region.last_sent_ms = at_ms, at_ms
    region.silent_from_ms = region.silent_until_ms = None
    if since_ms is not None:
        region.silent_from_ms, region.silent_until_ms = 0, since_ms
    region.save()


@pytest.fixture
def cast(db: None) -> Cast:
    acme, other = Organization.objects.create(name="Acme"), Organization.objects.create(name="Other")
    people = {name: User.objects.create_user(f"{name}@example.org", "correct horse") for name in ("alice", "bob", "charlie")}
    Membership.objects.create(organization=acme, user=people["alice"], role=Role.OWNER)
    Membership.objects.create(organization=acme, user=people["bob"], role=Role.VIEWER)
    Membership.objects.create(organization=other, user=people["charlie"], role=Role.OWNER)
    web, theirs = Project.objects.create(organization=acme, name="Web"), Project.objects.create(organization=other, name="Theirs")
    regions = {slug: ensure_region(slug=slug) for slug in ("eu", "us")}
    for region in regions.values():
        make_live(region, NOW_MS)
    return Cast(acme, web, other, theirs, **people, regions=regions)


class Api:
    """A JSON client of the API that sends the given headers, usually an API key."""

    def __init__(self, **headers: str) -> None:
        self.headers = headers
        self._client = Client(headers=headers or None)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        is_read = method in ("GET", "HEAD", "OPTIONS")
        options: dict[str, Any] = {} if is_read else {"data": "" if body is None else body, "content_type": "application/json"}
        return getattr(self._client, method.lower())(f"/api/v1/{path}", **options)


@pytest.fixture
def api(cast: Cast) -> Api:
    """Return a client with an admin's key for Acme's project."""
    _, key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="tests", role=Role.ADMIN)
    return Api(**{"X-API-Key": key})


@pytest.fixture
def stranger(cast: Cast) -> Api:
    """Return a client with an admin's key of the other organization."""
    _, key = create_api_key(actor=SYSTEM, now=NOW, project=cast.others_project, name="tests", role=Role.ADMIN)
    return Api(**{"X-API-Key": key})
