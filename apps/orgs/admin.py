from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from apps.core.admin import ReadOnlyAdmin
from apps.orgs.models import ApiKey, AuditEntry, Membership, Organization, Project, User

admin.site.unregister(Group)  # rights come from roles in memberships, not from groups


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    model = Membership
    extra = 0
    autocomplete_fields = ["user", "organization"]


class ProjectInline(admin.TabularInline):  # type: ignore[type-arg]  # generic in the stubs alone
    model = Project
    extra = 0
    fields = ["name"]
    show_change_link = True


@admin.register(User)
class PeopleAdmin(UserAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    list_display = ["email", "name", "is_active", "is_staff", "last_login", "created_at"]
    list_filter = ["is_staff", "is_active"]
    search_fields = ["email", "name"]
    ordering = ["email"]
    filter_horizontal = []
    readonly_fields = ["last_login", "created_at"]
    fieldsets = [
        (None, {"fields": ["email", "password", "name"]}),
        ("Rights", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "created_at"]}),
    ]
    add_fieldsets = [(None, {"classes": ["wide"], "fields": ["email", "password1", "password2"]})]
    inlines = [MembershipInline]


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    list_display = ["name", "is_demo", "created_at"]
    list_filter = ["is_demo"]
    search_fields = ["name"]
    readonly_fields = ["is_demo", "created_at"]
    inlines = [MembershipInline, ProjectInline]


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    list_display = ["name", "organization", "created_at"]
    list_select_related = ["organization"]
    search_fields = ["name", "organization__name"]
    autocomplete_fields = ["organization"]

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> list[str]:
        """Make the organization read-only after creation: all rows of a project carry the organization's id too."""
        return ["created_at"] if obj is None else ["organization", "created_at"]


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    list_display = ["user", "organization", "role"]
    list_filter = ["role"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__email", "organization__name"]
    autocomplete_fields = ["user", "organization"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "actor_name", "action", "subject_name", "address"]
    list_filter = ["actor_kind", "action"]
    search_fields = ["actor_name", "subject_name", "subject_id", "organization_id", "request_id"]
    date_hierarchy = "created_at"


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ["name", "prefix", "project", "role", "last_used_at", "expires_at", "revoked_at"]
    list_filter = ["role", "is_script"]
    list_select_related = ["project"]
    search_fields = ["name", "prefix", "project__name"]
    exclude = ["digest"]
