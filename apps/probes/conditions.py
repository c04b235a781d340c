"""Assertions about the facts of a run, one per line, such as `[latency] < 500 ms`.

    [fact] operator value

Each kind has its own facts; `header.<name>` and `json.<JSONPath>` select a header or a part of a JSON body and may have
several values. Operators: == != < <= > >= contains, not contains, matches, not matches (RE2), exists, not exists.
JSONPath follows RFC 9535, without the functions that take patterns. The message of a failed assertion contains the
value that was seen.

Several values: all nodes that a JSONPath selects must fulfil the assertion, or at least one if the word `any` precedes
the operator. If a header occurs several times, one value must fulfil the assertion; with `not …` and `!=` every value
must.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from apps.probes import json_paths, patterns
from apps.probes.contract import OptionError, OptionField, RawOptions
from apps.probes.json_paths import Budget, BudgetExceededError
from apps.probes.reasons import Reason

_OPTION, _MAX_LINES = "assertions", 20
_OPERATORS = r"==|!=|<=|>=|<|>|(?:not )?(?:contains|matches|exists)"
_LINE = re.compile(rf"\[(?P<fact>.{{1,300}})\] (?P<any>any )?(?P<op>{_OPERATORS})(?: (?P<value>.{{0,1000}}))?")
_NUMBER = re.compile(r"(-?\d{1,400}(?:\.\d{1,400})?) ?(ms|s|min|h|days?|kB|MB)?", re.ASCII)
_UNITS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "kB": 1_000, "MB": 1_000_000}
_MAX_SHOWN = 200
_MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Values:
    """The values of a fact that can have several: of repeated headers, or of the nodes that a JSONPath selects."""

    values: tuple[Any, ...]
    is_one_enough: bool = False
    """Whether it suffices that one value fulfils a condition; `not …` and `!=` must hold for every value in any case.
    """


Actual = Any
"""The observed value of a fact.

None: it was not seen. `Values`: any number of values. `BudgetExceededError`: evaluating the JSONPath took too much.
"""


@dataclass(frozen=True)
class Condition:
    """One parsed line. `is_any`: the word `any` precedes the operator."""

    fact: str
    op: str
    value: str
    is_any: bool = False

    def __str__(self) -> str:
        return f"[{self.fact}] {self._operator} {self.value}".rstrip()

    @property
    def _operator(self) -> str:
        return f"any {self.op}" if self.is_any else self.op

    def failure(self, actual: Actual, budget: Budget | None = None) -> str | None:
        """Return a sentence with the observed value if the condition fails, else None.

        If nothing was seen, only `not …` and `!=` hold. Raises BudgetExceededError, if the budget is not final; with a
        final one the condition fails.
        """
        budget = budget or Budget()
        try:
            if self._holds(actual, budget):
                return None
        except BudgetExceededError as error:
            if not budget.is_final:
                raise
            actual = error
        return f"[{self.fact}] ({self._shown(actual)}) {self._operator} {self.value}".rstrip()

    @property
    def reason(self) -> Reason:
        """The reason code to report if the condition fails."""
        return _REASONS.get(self.fact.lower()) or _reason_of(self)

    @property
    def _is_negative(self) -> bool:
        return self.op.startswith("not ") or self.op == "!="

    def _holds(self, actual: Actual, budget: Budget) -> bool:
        if isinstance(actual, BudgetExceededError):
            return False
        values = actual.values if isinstance(actual, Values) else () if actual is None else (actual,)
        if self.op.endswith("exists"):
            return bool(values) == (self.op == "exists")
        if not values:
            return self._is_negative
        is_one_enough = self.is_any or (isinstance(actual, Values) and actual.is_one_enough and not self._is_negative)
        return (any if is_one_enough else all)(self._holds_of(value, budget) for value in values)

    def _holds_of(self, value: Any, budget: Budget) -> bool:
        op = self.op.removeprefix("not ").replace("!=", "==")
        budget.charge(1)
        holds = self._compare(op, value, budget) != self._is_negative
        if isinstance(value, (list, dict)):
            budget.check_time()
        return holds

    def _compare(self, op: str, actual: Any, budget: Budget) -> bool:
        if op == "contains":
            if isinstance(actual, list):
                return any(self._equals(item) for item in actual)
            return isinstance(actual, str) and self.value in actual
        if op == "matches":
            pattern, text = patterns.compiled(self.value), _as_text(actual).encode("utf-8", "replace").decode()
            budget.charge_pattern(len(text), pattern.programsize)
            return bool(pattern.search(text))
        if op == "==":
            return self._equals(actual)
        number, wanted = _as_number(actual), _as_number(self.value)
        if number is None or wanted is None:
            return False
        return {"<": number < wanted, "<=": number <= wanted, ">": number > wanted, ">=": number >= wanted}[op]

    def _equals(self, actual: Any) -> bool:
        """Compare text with text and numbers by value: the text "1.10" does not equal the number 1.1."""
        literal = self._literal
        if isinstance(actual, str):
            return actual in (self.value, literal)
        if isinstance(actual, bool) or actual is None or isinstance(actual, (dict, list)):
            return literal is not _NO_LITERAL and type(literal) is type(actual) and bool(literal == actual)
        wanted = None if isinstance(literal, str) else _as_number(self.value)
        return wanted is not None and bool(actual == wanted)

    @cached_property
    def _literal(self) -> Any:
        return _literal_of(self.value)

    def _shown(self, actual: Actual) -> str:
        if isinstance(actual, BudgetExceededError):
            return str(actual)
        if not isinstance(actual, Values):
            return _shown(self.fact, actual)
        if not actual.values:
            return "nothing"
        return _shortened(", ".join(_shown(self.fact, value) for value in self._examples(actual.values)))

    def _examples(self, values: Sequence[Any]) -> list[Any]:
        """Return up to five of the values that fail, as far as they are found in a short time."""
        budget, failing = Budget(), list[Any]()
        try:
            for value in values:
                if self.op.endswith("exists") or not self._holds_of(value, budget):
                    failing.append(value)
                if len(failing) == _MOST_EXAMPLES:
                    break
        except BudgetExceededError:
            return failing or [values[0]]
        return failing


def read(fields: RawOptions, known: Sequence[str]) -> tuple[str, ...]:
    """Read and validate the option `assertions`. Raises OptionError.

    `known` lists the facts of the kind; one that ends in a dot (`header.`) is a prefix.
    """
    lines = fields.texts(_OPTION, most=_MAX_LINES, limit=1_500)
    for line in lines:
        _validate(line, known)
    return lines


def option_field(known: Sequence[str], example: str) -> OptionField:
    """Return the form field of the option `assertions`."""
    words = f"One to a line, like {example}. Facts: {', '.join(known)}."
    return OptionField(_OPTION, "Assertions", "lines", words, facts=tuple(known))


def parse_lines(lines: Iterable[str]) -> list[Condition]:
    """Parse lines that have been validated before; invalid ones are skipped."""
    return [condition for line in lines if (condition := _parse_line(line)) is not None]


@lru_cache(maxsize=20_000)
def _parse_line(line: str) -> Condition | None:
    """Parse one line; return None if it is not a condition."""
    found = _LINE.fullmatch(line.strip())
    if found is None or (found["op"].endswith("exists") == (found["value"] is not None)):
        return None
    return Condition(found["fact"], found["op"], found["value"] or "", is_any=bool(found["any"]))


def _validate(line: str, known: Sequence[str]) -> None:
    """Raise OptionError if a line is not a valid condition over the known facts."""
    field, condition = f"options.{_OPTION}", _parse_line(line)
    if condition is None:
        raise OptionError(field, f"{line[:80]!r} is not a condition like [latency] < 500 ms")
    head, dot, rest = condition.fact.partition(".")
    name = f"{head}." if dot and rest and f"{head}." in known else condition.fact
    if name not in known or condition.fact.endswith("."):
        raise OptionError(field, f"[{condition.fact[:60]}] is none of {', '.join(sorted(known))}")
    if condition.is_any and head != "json":
        raise OptionError(field, f"{line[:80]!r}: `any` is for the nodes of a JSONPath")
    if head == "json":
        try:
            json_paths.compile_path(rest)
        except ValueError as error:
            raise OptionError(field, f"{rest[:60]!r} is not a JSONPath: {error}") from error
    if condition.op in ("<", "<=", ">", ">=") and _as_number(condition.value) is None:
        raise OptionError(field, f"{condition.value[:60]!r} is not a number")
    if condition.op in ("==", "!=") and condition.value[:1] in ('"', "{", "[") and _literal_of(condition.value) is _NO_LITERAL:
        raise OptionError(field, f"{condition.value[:60]!r} begins like JSON and is none: put a text in quotes")
    if condition.op.endswith("matches"):
        patterns.check(field, condition.value)


_NO_LITERAL = object()


def _literal_of(value: str) -> Any:
    """Return the value if it is written as JSON (quoted text, object, array, true, false, null), else `_NO_LITERAL`.

    Numbers are handled by `_as_number`.
    """
    if value not in ("true", "false", "null") and value[:1] not in ('"', "{", "["):
        return _NO_LITERAL
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return _NO_LITERAL


def _as_number(value: Any) -> int | float | None:
    """Convert to a number: times in milliseconds, sizes in bytes, others unchanged; None if it is not a number.

    Whole numbers are exact, whatever their length.
    """
    if isinstance(value, (int, float)):
        return None if isinstance(value, bool) else value
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    number = float(found[1]) if "." in found[1] else int(found[1])
    return number * _UNITS.get(found[2] or "", 1)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


_TIMES = frozenset({"latency", "dns", "connect", "tls", "first_byte", "transfer"})
_FINE_TIMES = frozenset({"rtt_min", "rtt_avg", "rtt_max", "jitter"})


def _shown(fact: str, actual: Any) -> str:
    if actual is None:
        return "null" if fact.startswith("json.") else "nothing"
    if fact == "body":
        return f"{len(actual):,} characters"
    if fact in _TIMES:
        return f"{actual:.0f} ms"
    if fact in _FINE_TIMES:
        return f"{actual:.1f} ms"
    if isinstance(actual, float) and not fact.startswith("json."):
        return f"{actual:.1f}"
    return _shortened(_as_text(actual))


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


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
