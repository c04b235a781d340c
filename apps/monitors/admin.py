from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from apps.core.admin import ReadOnlyAdmin
from apps.monitors.models import Check, DispatchCursor, Pause, Region, Resource


@admin.register(Region)
class RegionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """Regions are created by `manage.py region add`; here operators rename, enable and disable them."""

    list_display = ["slug", "name", "is_enabled", "in_flight", "clock_offset_ms", "created_at"]
    list_filter = ["is_enabled"]
    search_fields = ["slug", "name"]
    readonly_fields = ["slug", "key_id", "heard_at_ms", "last_sent_ms", "silent_from_ms", "silent_until_ms",
                       "clock_offset_ms", "in_flight", "dropped", "created_at"]  # fmt: skip
    fields = ["name", "is_enabled", *readonly_fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Resource)
class ResourceAdmin(ReadOnlyAdmin):
    list_display = ["name", "project", "organization", "created_at"]
    list_select_related = ["project", "organization"]
    search_fields = ["name", "project__name", "organization__name"]


@admin.register(Check)
class CheckAdmin(ReadOnlyAdmin):
    """Read-only: checks are edited in the dashboard, where an edit begins a revision."""

    list_display = ["name", "kind", "target", "project", "interval_s", "is_paused", "revision", "deleted_at"]
    list_filter = ["kind", "is_paused", ("deleted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["project"]
    search_fields = ["id", "name", "target", "project__name", "organization__name"]
    exclude = ["secrets"]
    readonly_fields = ["dashboard"]

    @admin.display(description="In the dashboard")
    def dashboard(self, check: Check) -> str:
        return format_html('<a href="/checks/{}/">{}</a>', check.pk, check.name)


@admin.register(Pause)
class PauseAdmin(ReadOnlyAdmin):
    list_display = ["check_row", "from_ms", "until_ms"]
    list_select_related = ["check_row"]
    search_fields = ["check_row__name"]


@admin.register(DispatchCursor)
class DispatchCursorAdmin(ReadOnlyAdmin):
    list_display = ["id", "sent_until_ms"]
