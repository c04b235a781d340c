"""Permissions by role: a view may set `read_role` (default: viewer) and `write_role` (default: member)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.api.caller import Caller
from apps.orgs.models import Role

if TYPE_CHECKING:
    from rest_framework.views import APIView


class RoleAllows(BasePermission):
    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = request.auth
        if not isinstance(caller, Caller):
            return False
        reads: Role = getattr(view, "read_role", Role.VIEWER)
        writes: Role = getattr(view, "write_role", Role.MEMBER)
        return caller.role.covers(reads if request.method in SAFE_METHODS else writes)
