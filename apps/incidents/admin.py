from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html

from apps.core.admin import ReadOnlyAdmin
from apps.incidents.models import CheckState, Incident, IncidentEvent, IncidentUpdate


@admin.register(CheckState)
class CheckStateAdmin(ReadOnlyAdmin):
    list_display = ["check_row", "status", "level", "last_notified", "due", "slot"]
    list_filter = ["status", "level"]
    list_select_related = ["check_row"]
    search_fields = ["check_row__name", "check_row__id"]


class UpdateInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    model = IncidentUpdate
    extra = 0
    fields = ["created_at", "author", "text", "is_public"]
    readonly_fields = ["created_at", "author", "text", "is_public"]
    can_delete = False


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ["title", "severity", "status", "source", "project", "started_at", "resolved_at"]
    list_filter = ["status", "severity", "source"]
    list_select_related = ["project"]
    search_fields = ["id", "title", "check_row__name", "project__name", "organization__name"]
    date_hierarchy = "started_at"
    readonly_fields = ["dashboard"]
    inlines = [UpdateInline]

    @admin.display(description="In the dashboard")
    def dashboard(self, incident: Incident) -> str:
        return format_html('<a href="/incidents/{}/">{}</a>', incident.pk, incident.title)


@admin.register(IncidentUpdate)
class IncidentUpdateAdmin(ReadOnlyAdmin):
    list_display = ["text", "incident", "author", "is_public", "created_at"]
    list_filter = ["is_public"]
    list_select_related = ["incident", "author"]
    search_fields = ["text", "incident__title"]


@admin.register(IncidentEvent)
class IncidentEventAdmin(ReadOnlyAdmin):
    list_display = ["kind", "check_row", "seq", "created_at", "expanded_at"]
    list_filter = ["kind", ("expanded_at", admin.EmptyFieldListFilter)]
    list_select_related = ["check_row"]
    search_fields = ["check_row__name", "incident__title"]
