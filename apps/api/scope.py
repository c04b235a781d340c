"""Lookups limited to the caller's tenant. Objects of other tenants are 404, which does not reveal that they exist."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from apps.api.caller import Caller, caller_of
from apps.orgs.models import Project

M = TypeVar("M", bound=Model)


def get_or_404(rows: QuerySet[M], pk: uuid.UUID) -> M:
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def in_callers_tenant(rows: QuerySet[M], caller: Caller) -> QuerySet[M]:
    """Return the rows of the caller's organization, limited to the project of its API key if there is one."""
    rows = rows.filter(organization=caller.organization)
    return rows if caller.project is None else rows.filter(project=caller.project)


def resolve_project(request: Request, project_id: uuid.UUID | None) -> Project:
    """Return the project to act in: that of the API key, else the one that was sent. Raises ValidationError."""
    caller = caller_of(request)
    if caller.project is not None:
        if project_id not in (None, caller.project.pk):
            raise ValidationError({"project": ["There is no such project."]})
        return caller.project
    if project_id is None:
        raise ValidationError({"project": ["A session must name the project."]})
    found = Project.objects.filter(organization=caller.organization, pk=project_id).first()
    if found is None:
        raise ValidationError({"project": ["There is no such project."]})
    return found


def uuid_parameter(request: Request, name: str) -> uuid.UUID | None:
    """Return a query parameter as a UUID; None if it is missing. Raises ValidationError."""
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        return uuid.UUID(given)
    except ValueError as error:
        raise ValidationError({name: ["Must be an id."]}) from error


def moment_parameter(request: Request, name: str) -> datetime | None:
    """Return a query parameter as a datetime with time zone; None if it is missing. Raises ValidationError."""
    given = request.query_params.get(name)
    if not given:
        return None
    try:
        moment = parse_datetime(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not 1970 < moment.year < 9000:
        raise ValidationError({name: ["Must be a time like 2026-01-31T12:00:00Z."]})
    return moment
