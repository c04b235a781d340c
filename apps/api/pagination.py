from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from apps.results.models import CheckRun
from apps.results.runs import runs_within

_REGIONS = 200
"""More than a check has."""


class CreatedCursor(CursorPagination):
    """Newest first; `limit` up to 200."""

    ordering = "-created_at"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Raises ValidationError for a cursor that is none of ours."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, DjangoValidationError) as error:
            raise ValidationError({"cursor": ["Must be one that a page named."]}) from error


class StartedCursor(CreatedCursor):
    ordering = "-started_at"


class RunCursor(CreatedCursor):
    """Runs by slot, newest first, then by region; they are rows or packed. A cursor says after or before which run."""

    ordering = "-slot"
    _links: tuple[str | None, str | None] = (None, None)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """`queryset` is `Asked`. Raises ValidationError for a cursor that is none of ours."""
        asked, limit = queryset, self.get_page_size(request) or self.page_size
        way, slot, region = self._place(request)
        is_back = way == "newer"
        if way == "older":
            asked = replace(asked, end=min(asked.end, slot + 1))
        elif is_back:
            asked = replace(asked, start=max(asked.start, slot))
        # Those of the very slot that were shown already come again.
        found = [
            run for run in runs_within(asked, limit=limit + 1 + _REGIONS, is_newest_first=not is_back)
            if way == "" or ((-run.slot, run.region_id) != (-slot, region)
            and ((-run.slot, run.region_id) < (-slot, region)) == is_back)
        ]  # fmt: skip
        page, is_more = found[:limit], len(found) > limit
        page = page[::-1] if is_back else page
        older = page and (is_more or is_back)
        newer = page and (way == "older" or (is_back and is_more))
        self._links = (
            self._link(request, "older", page[-1]) if older else None,
            self._link(request, "newer", page[0]) if newer else None,
        )
        return page

    def get_next_link(self) -> str | None:
        return self._links[0]

    def get_previous_link(self) -> str | None:
        return self._links[1]

    def _place(self, request: Request) -> tuple[str, int, int]:
        text = request.query_params.get(self.cursor_query_param, "")
        way, _, rest = text.partition(".")
        slot, _, region = rest.partition(".")
        if not text:
            return "", 0, 0
        if way in ("older", "newer") and all(part.isascii() and part.isdigit() and len(part) < 17 for part in (slot, region)):
            return way, int(slot), int(region)
        raise ValidationError({"cursor": ["Must be one that a page named."]})

    def _link(self, request: Request, way: str, run: CheckRun) -> str:
        cursor = f"{way}.{run.slot}.{run.region_id}"
        return replace_query_param(request.build_absolute_uri(), self.cursor_query_param, cursor)
