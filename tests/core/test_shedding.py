"""Half of the threads may wait for the database for long; who comes then is answered at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from apps.core.shedding import SLOW_S, Shedding
from apps.core.timed_postgres.patience import connect_timeout_s


def behind(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", {})
    return [str(connect_timeout_s(1_000)).encode()]


def asked(path: str, *, waiting: int, threads: int = 8) -> tuple[str, dict[str, str], str]:
    """As an answer while so many threads wait."""
    told: list[tuple[str, dict[str, str]]] = []
    shedding = Shedding(behind, threads=threads, passing=("/status/",), waiting=lambda seconds: waiting * (seconds == SLOW_S))
    body = b"".join(shedding({"PATH_INFO": path}, lambda status, headers: told.append((status, dict(headers)))))
    return (*told[0], body.decode())


def test_while_fewer_than_half_wait_everyone_is_let_through_with_patience_for_longer_than_the_servers_own_limit() -> None:
    assert asked("/", waiting=3) == ("200 OK", {}, "16")


def test_behind_half_of_the_threads_nobody_waits_but_who_may_pass() -> None:
    assert asked("/status/acme/", waiting=8) == ("200 OK", {}, "1000")
    status, headers, body = asked("/", waiting=4)
    assert (status, headers["Retry-After"], headers["Content-Length"]) == ("503 Service Unavailable", "5", str(len(body)))
    assert body == "The server is busy. Try again in a moment."
    assert json.loads(asked("/api/v1/checks/", waiting=4)[2])["error"]["code"] == "unavailable"


@pytest.mark.parametrize(("waiting", "status"), [(0, "200 OK"), (1, "503 Service Unavailable")])
def test_a_single_thread_can_wait_alone(waiting: int, status: str) -> None:
    assert asked("/", waiting=waiting, threads=1)[0] == status
