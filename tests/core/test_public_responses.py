"""The response cache in front of Django: it keeps public responses for a second, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from apps.core import public_responses
from apps.core.public_responses import KEPT_S, PublicResponseCache

PUBLIC = ("Cache-Control", "public, max-age=5")


class Behind:
    """The WSGI application behind the cache: each response carries the next number; closed bodies are counted."""

    def __init__(self) -> None:
        self.status, self.headers, self.asked, self.closed = "200 OK", [PUBLIC], 0, 0

    def __call__(self, _environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.asked += 1
        start_response(self.status, self.headers)
        return Answer(self)


class Answer(list[bytes]):
    def __init__(self, behind: Behind) -> None:
        super().__init__([b"page ", str(behind.asked).encode()])
        self._behind = behind

    def close(self) -> None:
        self._behind.closed += 1


class Visitor:
    def __init__(self, behind: Behind) -> None:
        self.now = 100.0
        self.answers = PublicResponseCache(behind, prefix="/status/", clock=lambda: self.now)

    def get(self, path: str = "/status/acme/", **more: str) -> tuple[str, list[tuple[str, str]], str]:
        environ: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", **more}
        setup_testing_defaults(environ)
        told: list[Any] = []
        body = b"".join(self.answers(environ, lambda status, headers, _error=None: told.append((status, headers))))
        return (*told[-1], body.decode())


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def visitor(behind: Behind) -> Visitor:
    return Visitor(behind)


def test_a_public_answer_is_kept_whole_for_a_second(visitor: Visitor, behind: Behind) -> None:
    assert visitor.get() == visitor.get() == ("200 OK", [PUBLIC], "page 1")
    visitor.now += KEPT_S - 0.01
    assert visitor.get()[2] == "page 1"
    visitor.now += 0.01
    assert visitor.get()[2] == "page 2"
    assert behind.closed == behind.asked == 2


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK", []),
        ("200 OK", [("Cache-Control", "private")]),
        ("200 OK", [PUBLIC, ("Set-Cookie", "a=b")]),
        ("503 Service Unavailable", [PUBLIC]),
    ],
)
def test_nothing_else_is_kept(visitor: Visitor, behind: Behind, status: str, headers: list[tuple[str, str]]) -> None:
    behind.status, behind.headers = status, headers
    assert [visitor.get()[2], visitor.get()[2]] == ["page 1", "page 2"]


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/status/other/"},
        {"HTTP_HOST": "elsewhere.example"},
        {"HTTP_ACCEPT_ENCODING": "br, gzip"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"REQUEST_METHOD": "HEAD"},
        {"QUERY_STRING": "a=1"},
        {"SCRIPT_NAME": "/elsewhere"},
        {"path": "/checks/"},
    ],
)
def test_what_would_be_answered_otherwise_is_asked_for(visitor: Visitor, other: dict[str, str]) -> None:
    visitor.get()
    assert visitor.get(**other)[2] == "page 2"
    assert visitor.get()[2] == "page 1"


def test_a_page_that_is_gone_is_gone(visitor: Visitor, behind: Behind) -> None:
    visitor.get()
    visitor.now += KEPT_S
    behind.status, behind.headers = "404 Not Found", []
    assert [visitor.get()[0], visitor.get()[0]] == ["404 Not Found"] * 2


@pytest.mark.parametrize(("bound", "most"), [("_MOST_BYTES", 13), ("_MOST", 2)])
def test_what_is_kept_is_bounded(visitor: Visitor, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    monkeypatch.setattr(public_responses, bound, most)
    visitor.get("/status/a/")
    visitor.get("/status/b/")
    visitor.get("/status/c/")
    assert visitor.get("/status/c/")[2] == "page 3"
    assert visitor.get("/status/a/")[2] == "page 4"
    assert visitor.get("/status/a/", HTTP_HOST="a" * 256)[2] == "page 5"
    assert visitor.get("/status/a/", HTTP_HOST="a" * 256)[2] == "page 6"
