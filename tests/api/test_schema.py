"""The API answers as its schema says, whatever is sent: bounded fuzzing with schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from apps.incidents.models import Incident
from tests.conftest import Api, Cast
from tests.incidents.world import World

NEVER_REACHED = {
    "DELETE session/", "POST session/", "POST projects/",  # a project's key may not
    "GET checks/trial/{id}/", "GET checks/{id}/due/", "POST checks/{id}/rotate-ping-url/",  # the check is no heartbeat
    "POST incidents/{id}/resolve/",  # the check still fails
    "POST channels/", "POST checks/", "POST checks/due/", "POST checks/trial/",  # generated targets are none
}  # fmt: skip
"""Operations that generated requests cannot make succeed; their errors are checked all the same."""
CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)


@pytest.fixture
def known_ids(cast: Cast, api: Api) -> dict[str, str]:
    """The id that each path gets, so that requests reach past 404."""
    world = World(cast)
    world.vote(world.first, eu="down")
    channel = api("POST", "channels/", {"name": "c", "kind": "webhook", "config": {"url": "http://127.0.0.1:1/"}}).json()
    page = api("POST", "status-pages/", {}).json()
    return {
        "checks": str(world.check.pk),
        "resources": str(world.check.resource_id),
        "projects": str(cast.project.pk),
        "incidents": str(Incident.objects.get().pk),
        "channels": channel["id"],
        "status-pages": page["id"],
        "api-keys": api("POST", "api-keys/", {"name": "k", "role": "viewer"}).json()["id"],
        "deliveries": api("POST", f"channels/{channel['id']}/test/").json()["id"],
    }


@pytest.fixture
def one_connection(known_ids: dict[str, str]) -> Iterator[None]:
    """Keep the test's transaction open: as with Django's test client, no request closes this thread's connection."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("one_connection")
def test_every_operation_answers_as_its_schema_says(cast: Cast, api: Api, known_ids: dict[str, str]) -> None:
    schema: Any = schemathesis.openapi.from_wsgi("/api/v1/schema/?format=json", get_wsgi_application())
    operations = [result.ok() for result in schema.get_all_operations()]
    failures: list[str] = []
    reached = set()
    for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
        if _fuzz(operation, api.headers, known_ids, failures):
            reached.add(f"{operation.method.upper()} {operation.path.removeprefix('/api/v1/')}")
    assert failures == []
    missed = {f"{one.method.upper()} {one.path.removeprefix('/api/v1/')}" for one in operations} - reached
    assert missed == NEVER_REACHED, "\n".join(sorted(missed))


def _fuzz(operation: Any, headers: dict[str, str], known_ids: dict[str, str], failures: list[str]) -> bool:
    """Send generated requests; return whether one of them succeeded."""
    noun = operation.path.removeprefix("/api/v1/").partition("/")[0]
    statuses: set[int] = set()

    @settings(
        max_examples=12, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def run(case: Any) -> None:
        cache.clear()  # the limits of attempts are not what is tested here
        if noun in known_ids and "id" in case.path_parameters:
            case.path_parameters["id"] = known_ids[noun]
        try:
            answer = case.call_and_validate(headers={**headers, "Accept-Encoding": "identity"}, checks=CHECKS)
            statuses.add(answer.status_code)
        except FailureGroup as error:
            failures.append(f"{case.method} {case.formatted_path}: {error}"[:600])

    given(operation.as_strategy())(run)()  # type: ignore[no-untyped-call]  # hypothesis wraps it untyped
    return any(200 <= status < 300 for status in statuses)


def test_updates_and_slugs_are_as_strict_as_everything_else(api: Api, cast: Cast) -> None:
    opened = api("POST", "incidents/", {"title": "x", "severity": "down"}).json()["id"]
    for wrong in ({"text": "x", "author": "me"}, {"text": 5}, {"text": "x", "is_public": "yes"}):
        assert api("POST", f"incidents/{opened}/updates/", wrong).status_code == 400, wrong
    assert api("POST", f"incidents/{opened}/updates/", {"text": "x"}).status_code == 201
    made = api("POST", "status-pages/", {}).json()
    assert api("PATCH", f"status-pages/{made['id']}/", {"slug": 5}).status_code == 400


def test_the_schema_is_generated_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api("GET", "schema/").content
    monkeypatch.setattr("drf_spectacular.views.SpectacularAPIView.get", lambda *_: 1 / 0)
    assert api("GET", "schema/").content == first


def test_every_operation_says_what_it_does_in_words_of_its_own(db: None) -> None:
    paths = Client().get("/api/v1/schema/?format=json").json()["paths"]
    said = [operation.get("description", "") for operations in paths.values() for operation in operations.values()]
    assert len(set(said)) == len(said) > 40
    assert all(words[:1].isupper() and words.endswith((".", "!")) for words in said), said
