"""Evaluate JSONPath (RFC 9535) with a budget: even a short path can visit more nodes than there is time for.

Every selector of a compiled path, including those inside filters, is wrapped so that it charges a `Budget` for each
node it visits.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathMatch, NodeList
from jsonpath.exceptions import JSONPathError, JSONPathRecursionError
from jsonpath.filter import BaseExpression, FilterQuery
from jsonpath.selectors import Filter, JSONPathSelector

MAX_VALUES = 1_000_000
"""Values in a document: parsing more would block the event loop, and with it all other runs."""
NOT_JSON = object()
"""Returned by `parse_json` for a text that is not valid JSON or has too many values."""
_CLOCK_EVERY = 256
"""The time is checked once per this number of nodes."""
_CONTAINER_COMPARISON_COST = 1_000
"""Nodes charged for comparing two objects or arrays, which may be large."""


_STEPS_PER_NODE = 400
"""Steps of RE2 that are charged like a node."""


class BudgetExceededError(Exception):
    """Evaluating a path or a pattern visited too many nodes or took too long."""


LOOP_NODES, LOOP_S = 5_000, 0.05
"""What may be used on the event loop, without a thread."""


class Budget:
    """The number of nodes and the time in seconds that all assertions of one run may use together."""

    def __init__(self, nodes: int = LOOP_NODES, seconds: float = LOOP_S, *, is_final: bool = True) -> None:
        self.is_final = is_final
        """Whether exceeding it is a failure; otherwise the evaluation is repeated with a larger budget."""
        self._nodes_left = nodes
        self._until = time.monotonic() + seconds
        self._unchecked = 0

    def charge(self, nodes: int) -> None:
        """Deduct visited nodes. Raises BudgetExceededError."""
        self._nodes_left -= nodes
        self._unchecked += nodes
        if self._nodes_left < 0:
            raise BudgetExceededError("the assertions look at too much")
        if self._unchecked >= _CLOCK_EVERY:
            self._unchecked = 0
            self.check_time()

    def charge_pattern(self, characters: int, program_size: int) -> None:
        """Deduct a search by RE2 before it runs, by the most that it may take: about 9 ns per character and instruction.

        Raises BudgetExceededError.
        """
        self.charge(characters * program_size // _STEPS_PER_NODE)
        self.check_time()

    def check_time(self) -> None:
        """Raise BudgetExceededError if the time is over; called after each comparison that may take long by itself."""
        if time.monotonic() > self._until:
            raise BudgetExceededError("evaluating the assertions takes too long")


_budget: ContextVar[Budget] = ContextVar("budget")
"""The budget of the current evaluation."""


class _ChargedSelector(JSONPathSelector):
    """Wraps a selector and charges the budget for each node that it receives, searches or yields."""

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
    """Also charges for comparisons in filters, since both values may be as large as the document."""

    def compare(self, left: object, operator: str, right: object) -> bool:
        _budget.get().charge(_CONTAINER_COMPARISON_COST if _is_container(left) and _is_container(right) else 1)
        return super().compare(left, operator, right)


def _is_container(value: object) -> bool:
    if isinstance(value, NodeList):
        return len(value) == 1 and isinstance(value[0].obj, (dict, list))
    return isinstance(value, (dict, list))


def _charge_selectors(path: JSONPath) -> None:
    """Replace all selectors of a path, including those inside filters, by charging ones."""
    for segment in path.segments:
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                for query in _queries_in(selector.expression):
                    _charge_selectors(query.path)
        segment.selectors = tuple(_ChargedSelector(selector) for selector in segment.selectors)


def _queries_in(expression: BaseExpression) -> Iterator[FilterQuery]:
    """Yield the outermost queries of a filter; nested ones are found when their enclosing path is processed."""
    if isinstance(expression, FilterQuery):
        yield expression
        return
    for child in expression.children():
        yield from _queries_in(child)


# With filter caching, jsonpath would copy a filter's queries, and the copies would not charge the budget.
_environment = _Environment(strict=True, filter_caching=False)
for _function in ("match", "search"):  # they would evaluate patterns by backtracking
    del _environment.function_extensions[_function]


@lru_cache(maxsize=5_000)
def compile_path(path: str) -> JSONPath:
    """Compile a JSONPath. Raises ValueError with a sentence if it is invalid."""
    try:
        compiled = _environment.compile(path)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(str(error).splitlines()[0] if str(error) else "it is nested too deeply") from error
    if not isinstance(compiled, JSONPath):
        raise ValueError("it is more than one path")
    _charge_selectors(compiled)
    return compiled


def parse_json(text: str) -> Any:
    """Return the document, or `NOT_JSON`."""
    if exceeds_value_limit(text):
        return NOT_JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def exceeds_value_limit(text: str) -> bool:
    """Tell whether a text may contain more than `MAX_VALUES` JSON values; a cheap estimate that is never too low."""
    return len(text) > MAX_VALUES and text.count(",") + text.count("[") + text.count("{") > MAX_VALUES


def find_values(document: Any, path: str, budget: Budget) -> tuple[Any, ...]:
    """Return the values of all nodes that the path selects, in document order; none if the document is `NOT_JSON`.

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
    except (JSONPathRecursionError, RecursionError) as error:
        raise BudgetExceededError("the document is nested too deeply for the assertions") from error
    except (JSONPathError, ValueError):
        return ()
    finally:
        _budget.reset(token)
