from __future__ import annotations

import time
from typing import Any

import pytest

from apps.probes import conditions
from apps.probes.conditions import Condition, Values
from apps.probes.contract import OptionError, RawOptions
from apps.probes.json_paths import Budget, BudgetExceededError, find_values, parse_json

KNOWN = dict.fromkeys(("status", "latency", "body", "size", "certificate.days", "header.", "json."), "")


def one(line: str) -> Condition:
    assert conditions.read(RawOptions({"assertions": [line]}), tuple(KNOWN)) == (line,)
    return conditions.parse_lines([line])[0]


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
        ("[json.$.a] == null", Values((None,)), None),
        ("[json.$.a] != null", Values((None,)), "[json.$.a] (null) != null"),
        ("[json.$.a] exists", Values((None,)), None),
        ("[json.$.a] == null", Values(()), "[json.$.a] (nothing) == null"),
        ("[json.$.a] == 1.1", Values(("1.10",)), "[json.$.a] (1.10) == 1.1"),
        ("[json.$.a] == 1.10", Values(("1.10",)), None),
        ('[json.$.a] == "1.10"', Values(("1.10",)), None),
        ('[json.$.a] == "1"', Values((1,)), '[json.$.a] (1) == "1"'),
        ("[json.$.a] == 1234567890123456788", Values((1234567890123456789,)),
         "[json.$.a] (1234567890123456789) == 1234567890123456788"),
        ("[json.$.a] > 1234567890123456788", Values((1234567890123456789,)), None),
        ('[json.$.a] == {"b": [1, 2]}', Values(({"b": [1, 2]},)), None),
        ('[json.$.a] == {"b": [1]}', Values(({"b": [1, 2]},)), '[json.$.a] ({"b":[1,2]}) == {"b": [1]}'),
        ("[json.$.a] == 1", Values((True,)), "[json.$.a] (true) == 1"),
        ("[json.$.c[*].s] == up", Values(("up", "down")), "[json.$.c[*].s] (down) == up"),
        ("[json.$.c[*].s] any == up", Values(("up", "down")), None),
        ("[json.$.c[*].s] != down", Values(("up", "down")), "[json.$.c[*].s] (down) != down"),
        ("[json.$.c[*].n] < 5", Values((1, 9, 7)), "[json.$.c[*].n] (9, 7) < 5"),
        ("[json.$.c[*].n] any > 8", Values((1, 9)), None),
        ("[header.Set-Cookie] contains b=", Values(("a=1", "b=2"), is_one_enough=True), None),
        ("[header.Cache-Control] not contains public", Values(("no-store", "public"), is_one_enough=True),
         "[header.Cache-Control] (public) not contains public"),
        ('[header.ETag] == "abc"', Values(('"abc"',), is_one_enough=True), None),
        ("[json.$..x] == 1", BudgetExceededError("the path visits too many nodes"),
         "[json.$..x] (the path visits too many nodes) == 1"),
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
     "[json.x] == 1", "[json.$.a[?match(@.b, 'x')]] == 1", "[header.] exists",
     '[json.$.a] == {"b": }', '[json.$.a] == "open', "[status] any == 200"],
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


def find(text: str, path: str) -> tuple[Any, ...]:
    return find_values(parse_json(text), path, Budget(100_000, 5))


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ('{"a": {"b": [{"c": 1}, {"c": 2}]}}', "$.a.b[1].c", (2,)),
        ('{"a": {"b": [{"c": 1}, {"c": 2}]}}', "$..c", (1, 2)),
        ('{"a": {"b": [{"c": 1}, {"c": 2}]}}', "$.a.b[?@.c > 1].c", (2,)),
        ('{"a": [{"t": [1], "u": [1]}, {"t": [1], "u": [2]}]}', "$.a[?@.t == @.u].u[0]", (1,)),
        ('{"a": [{"t": [1, 2]}, {"t": [1]}]}', "$.a[?count(@.t[*]) > 1].t[0]", (1,)),
        ('{"n": null}', "$.n", (None,)),
        ('{"n": null}', "$.x", ()),
        ("<html>", "$.a", ()),
        ("[" * 100_000, "$..a", ()),
    ],
)
def test_a_path_finds_every_node_that_it_leads_to(text: str, path: str, values: tuple[Any, ...]) -> None:
    assert find(text, path) == values


@pytest.mark.parametrize(
    "path",
    ["$" + "[*,*]" * 24 + ".z", "$[?@" + "[*,*]" * 24 + ".z]", "$[?count(@" + "[*,*]" * 20 + ") > 1]", "$[?$..[?$..[?$..x]]]"],
)
def test_what_a_path_visits_is_bounded_wherever_it_stands(path: str) -> None:
    with pytest.raises(BudgetExceededError):
        find_values(parse_json("[" * 24 + "1" + "]" * 24), path, Budget(5_000, 5))


def test_what_a_path_compares_is_bounded() -> None:
    document = parse_json(f"[[{list(range(20_000))}], {list(range(20_000))}]")
    with pytest.raises(BudgetExceededError):
        find_values(document, f"$[{','.join('0' * 120)}][?@ == $[1]].z", Budget(100_000, 5))


def test_the_time_of_a_path_is_bounded() -> None:
    with pytest.raises(BudgetExceededError, match="too long"):
        find_values(parse_json(str(list(range(10_000)))), "$[*]", Budget(1_000_000, 0))


def test_hostile_texts_cost_little() -> None:
    began = time.monotonic()
    assert one("[body] matches (x+x+)+y").failure("x" * 100_000)
    assert one("[json.$.a] > 5").failure(Values(("9" * 5_000,)))
    assert time.monotonic() - began < 5


def test_a_document_too_deep_for_a_path_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(BudgetExceededError, match="nested too deeply"):
        find_values(parse_json("[" * 400 + "]" * 400), "$..x", Budget())
