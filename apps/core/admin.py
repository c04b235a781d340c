"""The operators' admin: Django's own, with views that no model stands behind, and facts that nobody edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse


class OperatorsSite(admin.AdminSite):
    site_header = site_title = "GoUpTime operators"
    index_title = "Installation"
    site_url = "/"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._extra: list[tuple[str, str, Callable[..., HttpResponse]]] = []

    def register_view(self, route: str, title: str, view: Callable[[HttpRequest], HttpResponse]) -> None:
        """A page of its own under the admin; its name is the route."""
        self._extra.append((route, title, view))

    def get_urls(self) -> list[Any]:
        mine: list[URLPattern] = [path(f"{route}/", self.admin_view(view), name=route) for route, _, view in self._extra]
        return [*mine, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        pages = [(title, reverse(f"admin:{route}")) for route, title, _ in self._extra]
        return super().index(request, {**(extra_context or {}), "pages": pages})


if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Model]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnlyAdmin(_ModelAdmin):
    """What the product writes: searched and read, never edited by hand."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
