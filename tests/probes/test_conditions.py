from __future__ import annotations

import time
from typing import Any

import pytest

from apps.probes import conditions
from apps.probes.conditions import Condition, json_fact, parsed_json
from apps.probes.contract import OptionError, RawOptions

KNOWN = dict.fromkeys(("status", "latency", "body", "size", "certificate.days", "header.", "json."), "")


def one(line: str) -> Condition:
    assert conditions.read(RawOptions({"assertions": [line]}), tuple(KNOWN)) == (line,)
    return conditions.of([line])[0]


@pytest.mark.parametrize(
    ("line", "actual", "failure"),
    [
        ("[latency] < 500 ms", 499.9, None),
        ("[latency] < 500 ms", 720.4, "[latency] (720 ms) < 500 ms"),
        ("[latency] <= 2 s", 2_000, None),
        ("[status] == 200", 200, None),
        ("[status] != 200", 200, "[status] (200) != 200"),
        ("[status] == 200", None, "[status] (nothing) == 200"),
        ("[size] > 1 kB", 1_000, "[size] (1000) > 1 kB"),
        ("[size] >= 1 kB", 1_000, None),
        ("[body] contains ok", "it is ok", None),
        ("[body] not contains error", "an error", "[body] (8 characters) not contains error"),
        ("[body] not contains error", None, None),
        ("[body] matches ^ok$", "ok", None),
        ("[body] not matches (?i)FATAL", "fatal", "[body] (5 characters) not matches (?i)FATAL"),
        ("[header.X-Id] exists", "", None),
        ("[header.X-Id] exists", None, "[header.X-Id] (nothing) exists"),
        ("[header.X-Id] not exists", None, None),
        ("[header.Server] == nginx", "nginx", None),
        ("[json.$.a] == true", True, None),
        ("[json.$.a] == 3", 3, None),
        ("[json.$.a] == 3.0", 3, None),
        ("[json.$.a] == null", None, "[json.$.a] (nothing) == null"),
        ("[json.$.a] contains 2", [1, 2], None),
        ("[json.$.a] < 5", "four", "[json.$.a] (four) < 5"),
        ("[certificate.days] >= 30", 12.34, "[certificate.days] (12.3) >= 30"),
    ],
)  # fmt: skip
def test_a_condition_holds_or_says_what_was_seen(line: str, actual: Any, failure: str | None) -> None:
    assert one(line).failure(actual) == failure
    assert str(one(line)) == line


@pytest.mark.parametrize(
    "line",
    ["", "latency < 5", "[latency] < five", "[latency] ~ 5", "[colour] == red", "[body] matches (", "[body] exists x", "[status] ==",
     "[json.x] == 1", "[json.$..a..b] == 1", "[json.$.a[?match(@.b, 'x')]] == 1", "[header.] exists"],
)  # fmt: skip
def test_what_is_no_condition_is_refused(line: str) -> None:
    with pytest.raises(OptionError) as caught:
        one(line)
    assert caught.value.field == "options.assertions"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[status] == 200", "http_status"),
        ("[latency] < 1 s", "too_slow"),
        ("[body] contains a", "body_mismatch"),
        ("[body] not contains a", "body_forbidden"),
        ("[size] < 5", "body_size"),
        ("[header.content-type] contains json", "content_type"),
        ("[header.x] exists", "header_mismatch"),
        ("[certificate.days] > 3", "tls_expiring"),
        ("[json.$.a] exists", "assertion_failed"),
    ],
)
def test_each_has_its_reason(line: str, reason: str) -> None:
    assert one(line).reason == reason


def test_a_path_finds_what_it_leads_to() -> None:
    document = parsed_json('{"a": {"b": [{"c": 1}, {"c": 2}]}, "n": null}')
    assert json_fact(document, "$.a.b[1].c") == 2
    assert json_fact(document, "$..c") == 1
    assert json_fact(document, "$.a.b[?@.c > 1].c") == 2
    assert json_fact(document, "$.x") is None
    assert json_fact(parsed_json("<html>"), "$.a") is None
    assert json_fact(parsed_json("[" * 100_000), "$..a") is None


def test_hostile_texts_cost_little() -> None:
    began = time.monotonic()
    assert one("[body] matches (x+x+)+y").failure("x" * 100_000)
    assert json_fact(parsed_json("[" * 900 + "]" * 900), "$..a") is None
    assert time.monotonic() - began < 5
