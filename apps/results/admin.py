"""The operators' admin of results. Runs have a page of their own: a ModelAdmin does not take composite keys."""

from __future__ import annotations

import uuid

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.core.admin import OperatorsSite, ReadOnlyAdmin
from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.monitors.models import Check, Region
from apps.results.models import VERDICTS, Certificate, Trial
from apps.results.rollups import oldest_run_day
from apps.results.runs import RunPage, run_page

_SHOWN = 200


def runs(request: HttpRequest) -> HttpResponse:
    """List the runs of one check, given by id: the newest, or those before a slot; optionally of one verdict."""
    asked, verdict, before = (request.GET.get(name, "").strip() for name in ("check", "verdict", "before"))
    error, check, seen = "", None, RunPage([], None)
    try:
        check = Check.objects.select_related("project__organization").filter(pk=uuid.UUID(asked)).first() if asked else None
        error = "There is no such check." if asked and check is None else ""
    except ValueError:
        error = "That is not an id."
    if check is not None:
        until = int(before) if before.isascii() and before.isdigit() and len(before) < 17 else to_ms(timezone.now()) + DAY_MS
        seen = run_page(
            check_id=check.pk,
            before=until,
            since=min(to_ms(check.created_at), oldest_run_day()),
            verdict=verdict if verdict in VERDICTS else None,
            limit=_SHOWN,
        )
    slugs = dict(Region.objects.values_list("id", "slug"))
    context = {
        **admin.site.each_context(request),
        "title": "Runs",
        "check": check,
        "asked": asked,
        "error": error,
        "verdict": verdict,
        "verdicts": VERDICTS,
        "older": seen.before,
        "runs": [
            {
                "run": run,
                "at": from_ms(run.slot),
                "region": slugs.get(run.region_id, run.region_id),
                "verdict": VERDICTS[run.verdict],
            }
            for run in seen.runs
        ],
    }
    return render(request, "admin/runs.html", context)


if isinstance(admin.site, OperatorsSite):
    admin.site.register_view("runs", "Runs of a check", runs)


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    list_display = ["fingerprint", "first_seen_at"]
    search_fields = ["fingerprint", "facts"]


@admin.register(Trial)
class TrialAdmin(ReadOnlyAdmin):
    list_display = ["target", "kind", "project", "created_at"]
    list_select_related = ["project"]
    search_fields = ["target", "project__name"]
    exclude = ["options"]


class DeadLetterAdmin(ReadOnlyAdmin):
    """Base class of the admin that `operations` registers, which can process a dead letter again."""

    list_display = ["origin", "region", "check_id", "error", "created_at"]
    list_filter = ["origin", "region"]
    search_fields = ["error", "check_id", "content"]
    date_hierarchy = "created_at"
