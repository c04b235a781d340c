"""Search, order, filters and pages of all lists, read from the query string, so that each view of a list has a link."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise

PAGE = 30
"""Rows per page, about two screens. Each costs about 2 ms to render, most of it for its bar."""


class Rows(Protocol):
    """A callable that returns the rows from `start` to `stop`, in order."""

    def __call__(self, *, start: int, stop: int) -> Sequence[Any]: ...


def of_query(rows: QuerySet[Any]) -> Rows:
    def part(*, start: int, stop: int) -> Sequence[Any]:
        return list(rows[start:stop])

    return part


@dataclass(frozen=True)
class Pages:
    rows: Sequence[Any]
    first: int
    total: int
    previous: str
    next: str

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


def paged(request: HttpRequest, rows: Rows, total: int) -> Pages:
    """Return the requested page of `rows(start=, stop=)`; `total` is the number of all rows."""
    number = int_parameter(request.GET.get("page"), least=1, most=max(1, -(-total // PAGE)))
    start = (number - 1) * PAGE
    return Pages(
        rows=rows(start=start, stop=start + PAGE),
        first=start + 1,
        total=total,
        previous=url_with(request, page=str(number - 1)) if number > 1 else "",
        next=url_with(request, page=str(number + 1)) if start + PAGE < total else "",
    )


def int_parameter(text: str | None, *, least: int, most: int) -> int:
    """Return a query parameter as a number between `least` and `most`; `least` if it is not a number."""
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 17
    return min(max(int(text or 0), least), most) if is_number else least


def search_of(request: HttpRequest) -> str:
    """Return the search term, without NUL, which PostgreSQL's text types cannot hold."""
    return request.GET.get("q", "").replace("\x00", "").strip()[:200]


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def url_with(request: HttpRequest, **changes: str) -> str:
    """Return the URL of this page with changed query parameters; an empty one is left out."""
    asked = request.GET.copy()
    for name in ("live", "page", "before"):  # a changed list starts at its first page
        asked.pop(name, None)
    for name, value in changes.items():
        asked.pop(name, None)
        if value:
            asked[name] = value
    query = asked.urlencode()
    return f"{request.path}?{query}" if query else request.path


def query_of(request: HttpRequest) -> str:
    """Return the query string of this list with its question mark, or an empty string."""
    return url_with(request).removeprefix(request.path)


@dataclass(frozen=True)
class Column:
    """A column heading that sorts the list."""

    name: str
    title: str
    link: str
    sorted: str
    """The value of `aria-sort`: `ascending`, `descending` or empty."""


def of_list(rows: Sequence[Any]) -> Rows:
    def part(*, start: int, stop: int) -> Sequence[Any]:
        return rows[start:stop]

    return part


def ordered(request: HttpRequest, fields: Mapping[str, tuple[str, Any]], default: str) -> tuple[str, dict[str, Column]]:
    """Return the requested order as a field for `order_by`, and the headings. `fields` maps a name to (field, title)."""
    asked = request.GET.get("sort", default)
    name = asked.removeprefix("-")
    if name not in fields:
        asked = name = default
    columns = {}
    for key, (_, title) in fields.items():
        is_this, is_down = key == name, asked.startswith("-")
        link = url_with(request, sort=f"-{key}" if is_this and not is_down else key)
        columns[key] = Column(key, title, link, ("descending" if is_down else "ascending") if is_this else "")
    field = fields[name][0]
    return f"-{field}" if asked.startswith("-") else field, columns


@dataclass(frozen=True)
class FilterLink:
    value: str
    title: str | Promise
    link: str
    is_chosen: bool
    count: int | None = None


def filter_links(
    request: HttpRequest, name: str, choices: Mapping[str, str | Promise], counts: Mapping[str, int] | None = None
) -> list[FilterLink]:
    """Return filter links for the query parameter `name`; the link of the active one removes it."""
    chosen = request.GET.get(name, "")
    return [
        FilterLink(
            value,
            title,
            url_with(request, **{name: "" if value == chosen else value}),
            value == chosen,
            None if counts is None else counts.get(value, 0),
        )
        for value, title in choices.items()
    ]
