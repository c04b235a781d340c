"""Conditions over facts, a line each: `[latency] < 500 ms`. Pure; a failed one is shown with what was seen.

    [fact] operator value

Facts are named by a kind; `header.<name>` and `json.<JSONPath>` look inside. Operators: == != < <= > >= contains, not contains,
matches, not matches (RE2), exists, not exists. JSONPath is RFC 9535's, without its functions that take patterns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError

from apps.probes import patterns
from apps.probes.contract import OptionError, OptionField, RawOptions
from apps.probes.reasons import Reason

_OPTION, _MOST = "assertions", 20
_OPERATORS = r"==|!=|<=|>=|<|>|(?:not )?(?:contains|matches|exists)"
_LINE = re.compile(rf"\[(?P<fact>.{{1,300}})\] (?P<op>{_OPERATORS})(?: (?P<value>.{{0,1000}}))?")
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?) ?(ms|s|min|h|days?|kB|MB)?")
_UNITS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "kB": 1_000, "MB": 1_000_000}
_MOST_NODES = 1_000
_SHOWN = 200

Lookup = Callable[[str], Any]


@dataclass(frozen=True)
class Condition:
    fact: str
    op: str
    value: str

    def __str__(self) -> str:
        return f"[{self.fact}] {self.op} {self.value}".rstrip()

    def failure(self, actual: Any) -> str | None:
        """The sentence of its failing, with what was seen; None when it holds. Nothing seen fails all but `not …` and `!=`."""
        if self._holds(actual):
            return None
        return f"[{self.fact}] ({_shown(self.fact, actual)}) {self.op} {self.value}".rstrip()

    @property
    def reason(self) -> Reason:
        return _REASONS.get(self.fact.lower()) or _reason_of(self)

    def _holds(self, actual: Any) -> bool:
        if self.op.endswith("exists"):
            return (actual is not None) == (self.op == "exists")
        if self.op.startswith("not ") or self.op == "!=":
            return actual is None or not _compared(self.op.removeprefix("not ").replace("!=", "=="), actual, self.value)
        return actual is not None and _compared(self.op, actual, self.value)


def read(fields: RawOptions, known: Sequence[str]) -> tuple[str, ...]:
    """The option `assertions`, judged. `known`: the facts of the kind; one that ends in a dot takes more. Raises OptionError."""
    lines = fields.texts(_OPTION, most=_MOST, limit=1_500)
    for line in lines:
        _judge(line, known)
    return lines


def asked(known: Sequence[str], example: str) -> OptionField:
    """How a form asks for them."""
    return OptionField(_OPTION, "Assertions", "lines", f"One to a line, like {example}. Facts: {', '.join(known)}.")


def of(lines: Iterable[str]) -> list[Condition]:
    """What lines say that were judged before."""
    return [condition for line in lines if (condition := _parsed(line)) is not None]


@lru_cache(maxsize=20_000)
def _parsed(line: str) -> Condition | None:
    found = _LINE.fullmatch(line.strip())
    if found is None or (found["op"].endswith("exists") == (found["value"] is not None)):
        return None
    return Condition(found["fact"], found["op"], found["value"] or "")


def _judge(line: str, known: Sequence[str]) -> None:
    field, condition = f"options.{_OPTION}", _parsed(line)
    if condition is None:
        raise OptionError(field, f"{line[:80]!r} is not a condition like [latency] < 500 ms")
    head, dot, rest = condition.fact.partition(".")
    wanted = f"{head}." if dot and rest and f"{head}." in known else condition.fact
    if wanted not in known or condition.fact.endswith("."):
        raise OptionError(field, f"[{condition.fact[:60]}] is none of {', '.join(sorted(known))}")
    if head == "json":
        _ensure_path(field, rest)
    if condition.op in ("<", "<=", ">", ">=") and _number(condition.value) is None:
        raise OptionError(field, f"{condition.value[:60]!r} is not a number")
    if condition.op.endswith("matches"):
        patterns.check(field, condition.value)


def _ensure_path(field: str, path: str) -> None:
    if path.count("..") > 1:
        raise OptionError(field, "a path may hold one .. at the most")
    try:
        _path(path)
    except JSONPathError as error:
        raise OptionError(field, f"{path[:60]!r} is not a JSONPath: {str(error).splitlines()[0]}") from error


_environment = JSONPathEnvironment(strict=True)
for _function in ("match", "search"):  # they would run patterns that can blow up
    del _environment.function_extensions[_function]


@lru_cache(maxsize=5_000)
def _path(path: str) -> Any:
    return _environment.compile(path)


NOT_JSON = object()


def parsed_json(text: str) -> Any:
    """The document, or `NOT_JSON`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def json_fact(document: Any, path: str) -> Any:
    """What a path leads to: its first node, None without one."""
    if document is NOT_JSON:
        return None
    try:
        return next((node.obj for node in islice(_path(path).finditer(document), _MOST_NODES)), None)
    except (JSONPathError, RecursionError):
        return None


def _compared(op: str, actual: Any, value: str) -> bool:
    if op == "contains":
        return value in actual if isinstance(actual, str) else value in map(_text, actual) if isinstance(actual, list) else False
    if op == "matches":
        return bool(patterns.compiled(value).search(_text(actual).encode("utf-8", "replace").decode()))
    number, wanted = _number(actual), _number(value)
    if op == "==":
        return number == wanted if number is not None and wanted is not None else _text(actual) == value
    if number is None or wanted is None:
        return False
    return {"<": number < wanted, "<=": number <= wanted, ">": number > wanted, ">=": number >= wanted}[op]


def _number(value: Any) -> float | None:
    """Times in ms, sizes in bytes, all else as it is."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:  # a whole number of hundreds of digits
            return None
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS.get(found[2] or "", 1) if found else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_TIMES = frozenset({"latency", "dns", "connect", "tls", "first_byte", "transfer"})
_FINE_TIMES = frozenset({"rtt_min", "rtt_avg", "rtt_max", "jitter"})


def _shown(fact: str, actual: Any) -> str:
    if actual is None:
        return "nothing"
    if fact == "body":
        return f"{len(actual):,} characters"
    if fact in _TIMES:
        return f"{actual:.0f} ms"
    if fact in _FINE_TIMES:
        return f"{actual:.1f} ms"
    if isinstance(actual, float):
        return f"{actual:.1f}"
    text = _text(actual)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_REASONS = {
    "status": Reason.HTTP_STATUS,
    "header.content-type": Reason.CONTENT_TYPE,
    "size": Reason.BODY_SIZE,
    "certificate.days": Reason.TLS_EXPIRING,
    **dict.fromkeys(_TIMES, Reason.TOO_SLOW),
}


def _reason_of(condition: Condition) -> Reason:
    if condition.fact == "body":
        return Reason.BODY_FORBIDDEN if condition.op.startswith(("not ", "!")) else Reason.BODY_MISMATCH
    return Reason.HEADER_MISMATCH if condition.fact.startswith("header.") else Reason.ASSERTION_FAILED
