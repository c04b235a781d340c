"""The admin site for operators: Django's admin plus pages without a model, and a read-only ModelAdmin base class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
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
        """Add a page to the admin at `route`, which is also its URL name."""
        self._extra.append((route, title, view))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Redirect to the product's rate-limited sign-in page. Raises PermissionDenied for other users."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        there = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return redirect_to_login(there, login_url=reverse(settings.LOGIN_URL))

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
    """Admin of rows that the product writes: operators can search and read them, not add, change or delete them."""

    show_full_result_count = False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Allow what the page offers: the model's other columns would be asked with any text, which some cannot be."""
        field = lookup.partition("__")[0]
        offered = {str(one[0]) if isinstance(one, (tuple, list)) else str(one) for one in self.get_list_filter(request)}
        return field in offered and bool(super().lookup_allowed(lookup, value, request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
