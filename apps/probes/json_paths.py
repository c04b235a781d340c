"""JSONPath (RFC 9535) over a body, bounded: a short path over a short text can visit more nodes than there is time for.

Every selector of a compiled path, those inside filters included, is wrapped so that it charges a `Budget` for what it visits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathMatch, NodeList
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import BaseExpression, FilterQuery
from jsonpath.selectors import Filter, JSONPathSelector

MAX_VALUES = 1_000_000
"""Of a document: parsing more would hold every other run of the worker."""
NOT_JSON = object()
"""What `parse_json` answers for a text that is no JSON document, or one of too many values."""
_CLOCK_EVERY = 256
_CONTAINER_COMPARISON_COST = 1_000


class BudgetExceededError(Exception):
    """A path visited more nodes, or took longer, than it may."""


class Budget:
    """How many nodes may be visited, and for how long, by all paths of one run together."""

    def __init__(self, nodes: int, seconds: float, *, is_final: bool = True) -> None:
        self.is_final = is_final
        """Whether what exceeds it has failed; else a larger one is tried."""
        self._nodes_left = nodes
        self._until = time.monotonic() + seconds
        self._unchecked = 0

    def charge(self, nodes: int) -> None:
        """Raises BudgetExceededError."""
        self._nodes_left -= nodes
        self._unchecked += nodes
        if self._nodes_left < 0:
            raise BudgetExceededError("the path visits too many nodes")
        if self._unchecked >= _CLOCK_EVERY:
            self._unchecked = 0
            if time.monotonic() > self._until:
                raise BudgetExceededError("the path takes too long")


_budget: ContextVar[Budget] = ContextVar("budget")
"""Of the evaluation under way."""


class _ChargedSelector(JSONPathSelector):
    """A selector that charges the budget for each node that it is given, looks at or yields."""

    def __init__(self, inner: JSONPathSelector) -> None:
        super().__init__(env=inner.env, token=inner.token)
        self._inner = inner

    def resolve(self, node: JSONPathMatch) -> Iterable[JSONPathMatch]:
        budget = _budget.get()
        is_searched = isinstance(self._inner, Filter) and isinstance(node.obj, (dict, list))
        budget.charge(1 + len(node.obj) if is_searched else 1)  # type: ignore[arg-type]  # a dict or a list
        for found in self._inner.resolve(node):
            budget.charge(1)
            yield found

    def resolve_async(self, node: JSONPathMatch) -> Any:
        raise NotImplementedError("paths are evaluated synchronously")

    def __str__(self) -> str:
        return str(self._inner)


class _Environment(JSONPathEnvironment):
    """Charges for what a filter compares, too: two values may both be as large as the document."""

    def compare(self, left: object, operator: str, right: object) -> bool:
        _budget.get().charge(_CONTAINER_COMPARISON_COST if _is_container(left) and _is_container(right) else 1)
        return super().compare(left, operator, right)


def _is_container(value: object) -> bool:
    if isinstance(value, NodeList):
        return len(value) == 1 and isinstance(value[0].obj, (dict, list))
    return isinstance(value, (dict, list))


def _charge_selectors(path: JSONPath) -> None:
    for segment in path.segments:
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                for query in _queries_in(selector.expression):
                    _charge_selectors(query.path)
        segment.selectors = tuple(_ChargedSelector(selector) for selector in segment.selectors)


def _queries_in(expression: BaseExpression) -> Iterator[FilterQuery]:
    """The outermost queries of a filter; those inside them are found when their own path is charged."""
    if isinstance(expression, FilterQuery):
        yield expression
        return
    for child in expression.children():
        yield from _queries_in(child)


# Caching would copy a filter's queries, and the copies would not be charged.
_environment = _Environment(strict=True, filter_caching=False)
for _function in ("match", "search"):  # they would run patterns that can blow up
    del _environment.function_extensions[_function]


@lru_cache(maxsize=5_000)
def compile_path(path: str) -> JSONPath:
    """Raises ValueError with a sentence for what is no JSONPath."""
    try:
        compiled = _environment.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0] if str(error) else "it is nested too deeply") from error
    if not isinstance(compiled, JSONPath):
        raise ValueError("it is more than one path")
    _charge_selectors(compiled)
    return compiled


def parse_json(text: str) -> Any:
    """The document; `NOT_JSON` for what is none."""
    if exceeds_value_limit(text):
        return NOT_JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def exceeds_value_limit(text: str) -> bool:
    """Whether a text may hold more JSON values than are looked into; a quick look that never says too few."""
    return len(text) > MAX_VALUES and text.count(",") + text.count("[") + text.count("{") > MAX_VALUES


def find_values(document: Any, path: str, budget: Budget) -> tuple[Any, ...]:
    """The values of every node that a path leads to, in document order; none for a text that is no JSON.

    Raises BudgetExceededError.
    """
    if document is NOT_JSON:
        return ()
    nodes: Iterable[JSONPathMatch] = [
        JSONPathMatch(filter_context={}, obj=document, parent=None, path="$", parts=(), root=document)
    ]
    for segment in compile_path(path).segments:
        nodes = segment.resolve(nodes)
    token = _budget.set(budget)
    try:
        return tuple(node.obj for node in nodes)
    except (JSONPathError, RecursionError, ValueError):
        return ()
    finally:
        _budget.reset(token)
