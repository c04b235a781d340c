from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html

from apps.core.admin import ReadOnlyAdmin
from apps.statuspages.models import Component, StatusPage


class ComponentInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    model = Component
    extra = 0
    fields = ["name", "group", "position", "resource"]
    readonly_fields = ["name", "group", "position", "resource"]
    can_delete = False


@admin.register(StatusPage)
class StatusPageAdmin(ReadOnlyAdmin):
    list_display = ["title", "slug", "project", "is_published", "created_at"]
    list_filter = ["is_published"]
    list_select_related = ["project"]
    search_fields = ["title", "slug", "project__name", "organization__name"]
    readonly_fields = ["public"]
    inlines = [ComponentInline]

    @admin.display(description="Public page")
    def public(self, page: StatusPage) -> str:
        return format_html('<a href="/status/{}/">/status/{}/</a>', page.slug, page.slug)


@admin.register(Component)
class ComponentAdmin(ReadOnlyAdmin):
    list_display = ["name", "group", "page", "position"]
    list_select_related = ["page"]
    search_fields = ["name", "page__title"]
