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
"""An upper bound for the regions of a check."""


class CreatedCursor(CursorPagination):
    """Cursor pagination, newest first; `limit` is at most 200."""

    ordering = "-created_at"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Return one page. Raises ValidationError for an invalid cursor."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, DjangoValidationError) as error:
            raise ValidationError({"cursor": ["Must be one that a page named."]}) from error


class StartedCursor(CreatedCursor):
    ordering = "-started_at"


class RunCursor(CreatedCursor):
    """Cursor pagination of runs, rows and packed ones alike, by slot (newest first) and region.

    A cursor names a run and a direction: `older.<slot>.<region>` or `newer.<slot>.<region>`.
    """

    ordering = "-slot"
    _links: tuple[str | None, str | None] = (None, None)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any] | None:
        """Return one page of runs; `queryset` is a `RunQuery`. Raises ValidationError for an invalid cursor."""
        asked, limit = queryset, self.get_page_size(request) or self.page_size
        way, slot, region = self._place(request)
        is_back = way == "newer"
        if way == "older":
            asked = replace(asked, end=min(asked.end, slot + 1))
        elif is_back:
            asked = replace(asked, start=max(asked.start, slot))
        # The query includes the cursor's whole slot: runs of it that were already shown are filtered out.
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
