"""`/healthz` and `/metrics` of a process: whether its loops still run, and its counters."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from apps.telemetry import health, metrics


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(health, "LOOPS", health.Loops())
    server = health.serve("127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_loop_that_does_not_turn_makes_the_process_unwell(url: str) -> None:
    health.LOOPS.turned("probe", within_s=60)
    assert fetched(f"{url}/healthz")[0] == 200
    health.LOOPS.turned("consumer", within_s=-1)
    status, body = fetched(f"{url}/healthz")
    assert (status, json.loads(body)["late"]) == (503, ["consumer"])


def test_what_it_counted_is_there_for_prometheus(url: str) -> None:
    metrics.CHECKS_FAILED.labels("http", "connect_refused").inc()
    status, text = fetched(f"{url}/metrics")
    assert status == 200
    assert 'checks_failed_total{kind="http",reason="connect_refused"}' in text
    assert fetched(f"{url}/elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({}, None),
        ({"GORUPTIME_HEALTH_PORT": "0"}, None),
        ({"GORUPTIME_HEALTH_PORT": "9100"}, ("127.0.0.1", 9100)),
        ({"GORUPTIME_HEALTH_PORT": "9100", "GORUPTIME_HEALTH_HOST": "0.0.0.0"}, ("0.0.0.0", 9100)),
    ],
)
def test_a_process_tells_of_itself_where_its_environment_says(environment: dict[str, str], where: tuple[str, int] | None) -> None:
    assert health.address(environment) == where
