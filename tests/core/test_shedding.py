"""Half of the threads may wait for long; who comes then is answered at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from apps.core.shedding import SLOW_S, Shedding

Answer = tuple[str, dict[str, str], bytes]


class Crowd:
    """Requests within requests: behind so many that wait, for so long each, one more is asked."""

    def __init__(self, threads: int) -> None:
        self.now = 0.0
        self._waiting = 0
        self.shedding = Shedding(self._django, threads=threads, passing=("/status/",), clock=lambda: self.now)

    def _django(self, _environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self._waiting:
            self._waiting -= 1
            self.now += self._hold_s
            self._answers.append(self.get("/" if self._waiting else self._path))
        start_response("200 OK", [])
        return [b"OK"]

    def get(self, path: str) -> Answer:
        environ: dict[str, Any] = {"PATH_INFO": path}
        told: list[tuple[str, dict[str, str]]] = []
        body = b"".join(self.shedding(environ, lambda status, headers: told.append((status, dict(headers)))))
        return (*told[0], body)

    def get_behind(self, waiting: int, *, path: str = "/", hold_s: float = SLOW_S + 0.1) -> Answer:
        self._waiting, self._hold_s, self._path = waiting, hold_s, path
        self._answers: list[Answer] = []
        self.get("/")
        return self._answers[0]


def test_a_few_that_wait_or_many_that_are_quick_disturb_nobody() -> None:
    assert Crowd(8).get_behind(3)[0] == "200 OK"
    assert Crowd(8).get_behind(8, hold_s=SLOW_S / 9)[0] == "200 OK"


def test_behind_half_of_the_threads_nobody_waits_but_who_may_pass() -> None:
    assert Crowd(8).get_behind(4, path="/status/acme/")[0] == "200 OK"
    status, headers, body = Crowd(8).get_behind(4)
    assert (status, headers["Retry-After"], headers["Content-Length"]) == ("503 Service Unavailable", "5", str(len(body)))
    assert body.decode() == "The server is busy. Try again in a moment."
    assert json.loads(Crowd(8).get_behind(4, path="/api/v1/checks/")[2])["error"]["code"] == "unavailable"


def test_what_has_ended_counts_no_more() -> None:
    crowd = Crowd(2)
    assert crowd.get_behind(1)[0].startswith("503")
    assert crowd.get("/")[0] == "200 OK"


def test_a_request_that_fails_counts_no_more() -> None:
    def failing(*_: Any) -> Iterable[bytes]:
        raise ValueError("gone")

    shedding = Shedding(failing, threads=1, passing=(), clock=iter([0.0, 10.0]).__next__)
    for _ in range(2):
        with pytest.raises(ValueError, match="gone"):
            shedding({"PATH_INFO": "/"}, lambda *_: None)
