"""What every list has in common: a search, an order, a page. Read from the address, so that each view of a list is a link."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db.models import QuerySet
from django.http import HttpRequest

PAGE = 30
"""Rows of a page: two screens. Each costs some 2 ms, its bar most of it."""


class Rows(Protocol):
    """Some of them, in their order."""

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
    """One page of `rows(start=, stop=)`; `total` is how many there are."""
    number = whole(request.GET.get("page"), least=1, most=max(1, -(-total // PAGE)))
    start = (number - 1) * PAGE
    return Pages(
        rows=rows(start=start, stop=start + PAGE),
        first=start + 1,
        total=total,
        previous=address(request, page=str(number - 1)) if number > 1 else "",
        next=address(request, page=str(number + 1)) if start + PAGE < total else "",
    )


def whole(text: str | None, *, least: int, most: int) -> int:
    """A number from an address; anything else is the least."""
    is_number = text is not None and text.isascii() and text.isdigit() and len(text) < 17
    return min(max(int(text or 0), least), most) if is_number else least


def search_of(request: HttpRequest) -> str:
    """What is searched for; PostgreSQL's texts hold no NUL."""
    return request.GET.get("q", "").replace("\x00", "").strip()[:200]


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def address(request: HttpRequest, **changes: str) -> str:
    """This page's address with other parameters; an empty one is left out."""
    asked = request.GET.copy()
    for name in ("live", "page", "before"):  # another list begins at its beginning
        asked.pop(name, None)
    for name, value in changes.items():
        asked.pop(name, None)
        if value:
            asked[name] = value
    query = asked.urlencode()
    return f"{request.path}?{query}" if query else request.path


@dataclass(frozen=True)
class Column:
    """A heading that sorts."""

    name: str
    title: str
    link: str
    sorted: str
    """`ascending`, `descending` or nothing, as aria-sort has it."""


def ordered(request: HttpRequest, fields: Mapping[str, str], default: str) -> tuple[str, dict[str, Column]]:
    """The order that was asked for, as a field of a query, and the headings. `fields`: name to (field|title)."""
    asked = request.GET.get("sort", default)
    name = asked.removeprefix("-")
    if name not in fields:
        asked = name = default
    columns = {}
    for key, described in fields.items():
        title = described.partition("|")[2]
        is_this, is_down = key == name, asked.startswith("-")
        link = address(request, sort=f"-{key}" if is_this and not is_down else key)
        columns[key] = Column(key, title, link, ("descending" if is_down else "ascending") if is_this else "")
    field = fields[name].partition("|")[0]
    return f"-{field}" if asked.startswith("-") else field, columns


@dataclass(frozen=True)
class Chip:
    value: str
    title: str
    link: str
    is_chosen: bool
    count: int | None = None


def chips(request: HttpRequest, name: str, choices: Mapping[str, str], counts: Mapping[str, int] | None = None) -> list[Chip]:
    """Filters that are links; choosing the chosen one takes it away."""
    chosen = request.GET.get(name, "")
    return [
        Chip(
            value,
            title,
            address(request, **{name: "" if value == chosen else value}),
            value == chosen,
            None if counts is None else counts.get(value, 0),
        )
        for value, title in choices.items()
    ]
