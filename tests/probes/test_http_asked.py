"""Options of the kind `http`: assertions, thresholds, authentication, body types, allowed redirects."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from apps.net.address_policy import AddressPolicy
from tests.probes.http_looks import against, probe
from tests.probes.servers import http, says, served

PAGE = http("200 OK", b'{"state": "ok", "queue": 3}', "Content-Type: application/json", "X-Node: a1")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"assertions": ["[json.$.state] == ok", "[json.$.queue] < 5", "[header.x-node] matches ^a", "[size] < 1 kB"]}, None),
        ({"assertions": ["[json.$.state] == broken"]}, "assertion_failed"),
        ({"assertions": ["[header.content-type] contains html"]}, "content_type"),
        ({"assertions": ["[header.x-other] exists"]}, "header_mismatch"),
        ({"assertions": ["[size] > 1 kB"]}, "body_size"),
        ({"assertions": ["[body] not contains queue"]}, "body_forbidden"),
        ({"assertions": ["[status] == 201"]}, "http_status"),
        ({"assertions": ["[latency] < 0 ms"]}, "too_slow"),
        ({"assertions": ["[http_version] == 1.1", "[address] == 127.0.0.1", "[certificate.days] not exists"]}, None),
        ({"forbidden": "queue"}, "body_forbidden"),
        ({"forbidden": "Fatal error"}, None),
        ({"down_ms": 5_000}, None),
    ],
)
def test_an_answer_is_judged_by_what_was_asked(options: dict[str, Any], reason: str | None) -> None:
    outcome = against(says(PAGE), **options).outcome
    assert outcome.reason == reason, outcome.message
    assert outcome.verdict == ("up" if reason is None else "down")


def test_slow_is_degraded_and_slower_is_down() -> None:
    async def slow(_request: bytes, _reader: Any, writer: Any) -> None:
        await asyncio.sleep(0.15)
        writer.write(PAGE)

    assert against(slow, degraded_ms=50).outcome.verdict == "degraded"
    down = against(slow, degraded_ms=50, down_ms=100).outcome
    assert (down.verdict, down.reason) == ("down", "too_slow")


def test_a_failed_condition_shows_what_was_seen() -> None:
    outcome = against(says(PAGE), assertions=["[json.$.queue] < 2"]).outcome
    assert outcome.message == "[json.$.queue] (3) < 2"
    assert "queue" in outcome.facts["body"]


@pytest.mark.parametrize(
    ("body", "headers", "options"),
    [
        (b"\xef\xbb\xbf" + b'{"a": 1}', [], {"assertions": ["[json.$.a] == 1"]}),
        ("<meta charset=iso-8859-1>Café".encode("latin-1"), [], {"keyword": "Café"}),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><n>Café</n>'.encode("latin-1"), [], {"keyword": "Café"}),
        ("Café".encode("latin-1"), ["Content-Type: text/html; charset='iso-8859-1'"], {"keyword": "Café"}),
        ("Café".encode("latin-1"), ['Content-Type: text/html; charset = "iso-8859-1"'], {"keyword": "Café"}),
        ("Café".encode("utf-16"), [], {"keyword": "Café"}),
        ("5 €".encode("cp1252"), ["Content-Type: text/html; charset=ISO-8859-1"], {"keyword": "5 €"}),
        ("<meta charset=utf-16>Café".encode(), [], {"keyword": "Café"}),
        (b"x" * 50_000, ["Content-Type: text/html; charset=punycode"], {"keyword": "x"}),
        (b"", ["X-Powered-By: PHP"], {"assertions": ["[header.x-powered-by] == PHP", "[header.X-POWERED-BY] exists"]}),
        (b"", ["Set-Cookie: a=1", "Set-Cookie: b=2"], {"assertions": ["[header.Set-Cookie] contains b=2"]}),
    ],
)
def test_bodies_and_headers_are_read_as_browsers_read_them(body: bytes, headers: list[str], options: dict[str, Any]) -> None:
    outcome = against(says(http("200 OK", body, *headers)), **options).outcome
    assert outcome.verdict == "up", outcome.message


@pytest.mark.parametrize(
    ("headers", "assertion"),
    [
        (["X-Powered-By: PHP"], "[header.X-Powered-By] not exists"),
        (["Cache-Control: no-store", "Cache-Control: public"], "[header.Cache-Control] not contains public"),
    ],
)
def test_no_header_is_overlooked(headers: list[str], assertion: str) -> None:
    assert against(says(http("200 OK", b"", *headers)), assertions=[assertion]).outcome.reason == "header_mismatch"


def test_upside_down_turns_the_verdict_and_keeps_what_was_seen() -> None:
    assert against(says(PAGE), upside_down=True).outcome.reason == "assertion_failed"
    turned = against(says(http("503 Gone")), upside_down=True).outcome
    assert (turned.verdict, turned.facts["expected_failure"]["reason"]) == ("up", "http_status")
    refused = asyncio.run(probe("http://127.0.0.1:1/", policy=AddressPolicy(), upside_down=True)).outcome
    assert (refused.verdict, refused.reason) == ("down", "blocked_address")


def test_redirects_that_lead_astray_are_named() -> None:
    elsewhere = says(http("302 Found", b"", "Location: http://localhost:1/"))
    assert against(elsewhere, same_host=True).outcome.reason == "redirect_other_host"
    assert against(elsewhere).outcome.reason == "connect_refused"


class Guarded:
    """A handler that requires basic, bearer or digest authentication (RFC 7616, MD5)."""

    async def __call__(self, request: bytes, _reader: Any, writer: Any) -> None:
        given = next((line for line in request.decode().split("\r\n") if line.lower().startswith("authorization:")), "")
        value = given.partition(": ")[2]
        self.seen = value
        fits = value in ("Basic cHJvYmU6cDpzcw==", "Bearer t0ken") or ('username="probe"' in value and self._digest_fits(value))
        challenge = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        writer.write(http("200 OK") if fits else http("401 Unauthorized", b"", challenge))

    def _digest_fits(self, value: str) -> bool:
        parts = {k.strip(): v.strip('"') for k, _, v in (part.partition("=") for part in value[7:].split(","))}
        first, second = _md5("probe:r:p:ss"), _md5("GET:/")
        return parts["response"] == _md5(f"{first}:n:{parts['nc']}:{parts['cnonce']}:auth:{second}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_password_opens_and_a_wrong_one_is_named(auth: str) -> None:
    assert against(Guarded(), auth=auth, username="probe", password="p:ss").outcome.verdict == "up"
    wrong = against(Guarded(), auth=auth, username="probe", password="other").outcome
    assert (wrong.verdict, wrong.reason) == ("down", "auth_failed")
    assert "other" not in str(wrong)
    assert against(Guarded()).outcome.reason == "http_status"


def test_a_bearer_token_opens() -> None:
    assert against(Guarded(), auth="bearer", token="t0ken").outcome.verdict == "up"
    assert against(Guarded(), auth="bearer", token="stale").outcome.reason == "auth_failed"


def test_a_password_is_not_sent_on_to_another_origin() -> None:
    async def main() -> Any:
        door = Guarded()
        async with served(door) as inner, served(says(http("302 Found", b"", f"Location: http://127.0.0.1:{inner}/"))) as outer:
            await probe(f"http://127.0.0.1:{outer}/", auth="basic", username="probe", password="p:ss")
            return door.seen

    assert asyncio.run(main()) == ""


def test_bodies_say_what_they_are() -> None:
    seen: list[bytes] = []

    async def notes(request: bytes, _reader: Any, writer: Any) -> None:
        seen.append(request.lower())
        writer.write(http())

    for body_type, kind in (("json", b"application/json"), ("form", b"application/x-www-form-urlencoded")):
        assert against(notes, method="POST", body="{}", body_type=body_type).outcome.verdict == "up"
        assert b"content-type: " + kind in seen[-1]
    against(notes, method="POST", body="{}", headers={"content-type": "text/x"}, body_type="json")
    assert seen[-1].count(b"content-type") == 1
    against(notes, method="POST", body="x")
    assert b"content-type" not in seen[-1]
