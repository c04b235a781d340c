from __future__ import annotations

from rest_framework.pagination import CursorPagination


class CreatedCursor(CursorPagination):
    """Newest first; `limit` up to 200."""

    ordering = "-created_at"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200


class StartedCursor(CreatedCursor):
    ordering = "-started_at"


class SlotCursor(CreatedCursor):
    ordering = "-slot"
