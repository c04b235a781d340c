"""The list of checks, and what is done to many of them at once."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apps.dashboard.access import ProjectContext, enter_project, page
from apps.dashboard.lists import Rows, filter_links, is_uuid, of_list, of_query, ordered, paged, query_of, search_of
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.dashboard.spreadsheets import csv_answer
from apps.incidents.labels import RANKS, STATUSES
from apps.incidents.list_views import MOST_MEASURED, by_latency, by_uptime, check_lines
from apps.incidents.project_summary import summarize_project
from apps.incidents.selectors import count_by_status, ranked_checks
from apps.incidents.services import check_commands
from apps.monitors.models import Check, Region, Resource
from apps.probes.registry import KINDS

_COLUMNS = {
    "status": ("rank", gettext_lazy("Status")),
    "name": ("name", gettext_lazy("Name")),
    "kind": ("kind", gettext_lazy("Kind")),
    "interval": ("interval_s", gettext_lazy("Interval")),
    "p95": ("p95", gettext_lazy("p95")),
    "uptime": ("uptime", gettext_lazy("Uptime")),
}
_MEASURED = {"p95": by_latency, "uptime": by_uptime}
"""Columns that are sorted by what was measured: possible for lists of up to `MOST_MEASURED` checks."""
_MOST_AT_ONCE = 1_000
"""Checks that one bulk action changes: each is locked and written by itself."""


@page("GET", "POST")
def checks(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    """POST acts on the chosen checks, or on all that match the filters."""
    access, now = enter_project(request, project), timezone.now()
    if request.method == "POST":
        return _bulk(request, access, now)
    known = summarize_project(project=access.project, now=now)
    if is_poll_unchanged(request, known.version):
        return no_content()
    filters = _Filters.read(request)
    rows = filters.narrow(ranked_checks(project=access.project, now=now))
    counts = count_by_status(rows) if filters.are_narrow else known.counts
    rows = filters.of_status(rows)
    total = rows.count() if filters.are_set else known.total
    order, columns = ordered(request, _COLUMNS, "status")
    if order.endswith("rank") and (filters.status or len(known.counts) == 1):
        order = "name"  # all have the same rank, and an index has them in this order
    if total > MOST_MEASURED:
        columns |= {name: replace(columns[name], link="", sorted="") for name in _MEASURED}
    pages = paged(request, _in_order(rows, order, total, now), total)
    present = {status: word for status, word in STATUSES.items() if counts.get(status) or filters.status == status}
    context = {
        "pages": pages,
        "query": query_of(request),
        "lines": check_lines(check_ids=pages.rows, now=now),
        "columns": columns,
        "status_chips": filter_links(request, "status", present, counts),
        "other_chips": [
            *filter_links(request, "kind", {name: kind.title for name, kind in KINDS.items()}),
            *(filter_links(request, "region", {s: s for s in filters.regions}) if len(filters.regions) > 1 else []),
        ],
        "search": filters.search,
        "is_filtered": filters.are_set,
        "most_at_once": _MOST_AT_ONCE,
    }
    return render_page(
        request, access, "dashboard/checks.html", context,
        title=_("Checks"), section="checks", now=now, known=known, version=known.version,
    )  # fmt: skip


def _in_order(rows: QuerySet[Check], order: str, total: int, now: datetime) -> Rows:
    measure = _MEASURED.get(order.removeprefix("-"))
    if measure and total <= MOST_MEASURED:
        return of_list(measure(checks=rows, is_descending=order.startswith("-"), now=now))
    return of_query(rows.order_by("name" if measure else order, "name", "pk").values_list("pk", flat=True))


_CSV_HEAD = (
    "id", "name", "resource", "kind", "target", "status", "since", "reason", "interval_s", "p95_ms_24h", "uptime_24h"
)  # fmt: skip
_CSV_CHUNK = 200


@page()
def checks_csv(request: HttpRequest, project: uuid.UUID) -> StreamingHttpResponse:
    """All checks that match the filters of the list."""
    access, now = enter_project(request, project), timezone.now()
    filters = _Filters.read(request)
    rows = filters.of_status(filters.narrow(ranked_checks(project=access.project, now=now)))
    ids = list(rows.order_by("name", "pk").values_list("pk", flat=True))
    return csv_answer(f"{access.project.name} checks", _CSV_HEAD, _csv_rows(ids, now))


def _csv_rows(ids: Sequence[uuid.UUID], now: datetime) -> Iterator[Sequence[Any]]:
    names = dict(Resource.objects.filter(checks__in=ids).values_list("pk", "name")) if ids else {}
    for start in range(0, len(ids), _CSV_CHUNK):
        for line in check_lines(check_ids=ids[start : start + _CSV_CHUNK], now=now):
            check, state = line.check, line.state
            reason = state.reason[1] if state.reason else ""
            yield (
                check.pk, check.name, names.get(check.resource_id, ""), check.kind, check.target, state.status, state.since,
                reason, check.interval_s, line.latency.p95 if line.latency else None, line.uptime.ratio,
            )  # fmt: skip


@dataclass(frozen=True)
class _Filters:
    """What the address of the list asks for; values that do not exist are ignored."""

    search: str
    status: str
    kind: str
    region: str
    regions: dict[str, int]

    @classmethod
    def read(cls, request: HttpRequest) -> _Filters:
        regions = dict(Region.objects.probing().order_by("slug").values_list("slug", "id"))
        known: dict[str, Container[str]] = {"status": STATUSES, "kind": KINDS, "region": regions}
        asked = {name: request.GET.get(name, "") for name in known}
        valid = {name: value if value in known[name] else "" for name, value in asked.items()}
        return cls(search_of(request), **valid, regions=regions)

    @property
    def are_narrow(self) -> bool:
        """Whether anything but the status filters."""
        return bool(self.search or self.kind or self.region)

    @property
    def are_set(self) -> bool:
        return self.are_narrow or bool(self.status)

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Apply all filters but the status, whose choices are counted over what remains."""
        if self.search:
            rows = rows.filter(Q(name__icontains=self.search) | Q(target__icontains=self.search))
        if self.kind:
            rows = rows.filter(kind=self.kind)
        if self.region:
            rows = rows.filter(region_ids__contains=[self.regions[self.region]])
        return rows

    def of_status(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(rank=RANKS[self.status]) if self.status else rows


# --- many at once


def _bulk(request: HttpRequest, access: ProjectContext, now: datetime) -> HttpResponse:
    """Pause, resume or delete. The list keeps its filters; deleting asks first; the others can be undone."""
    if not access.may_write:
        raise PermissionDenied
    act = request.POST.get("act", "")
    chosen = _chosen(request, access, now)
    back = HttpResponseRedirect(request.get_full_path())
    if not chosen or act not in ("pause", "resume", "delete"):
        return back
    if act == "delete":
        return _bulk_delete(request, access, chosen, now) or back
    command = check_commands.pause_check if act == "pause" else check_commands.resume_check
    to_change = [check.pk for check in chosen if check.is_paused != (act == "pause")]
    changed = [check_id for check_id in to_change if _was_done(command, access, check_id, now)]
    if act == "pause":
        done = ngettext("%(count)d check is paused.", "%(count)d checks are paused.", len(changed))
    else:
        done = ngettext("%(count)d check is resumed.", "%(count)d checks are resumed.", len(changed))
    can_undo = bool(changed) and not request.POST.get("undoes")
    if can_undo:
        request.session["undo"] = {
            "act": "resume" if act == "pause" else "pause",
            "ids": [str(check_id) for check_id in changed],
            "url": request.get_full_path(),
        }
    messages.success(request, done % {"count": len(changed)}, extra_tags="undo" if can_undo else "")
    return back


def _chosen(request: HttpRequest, access: ProjectContext, now: datetime) -> list[Check]:
    """The checks that were ticked, or all that match the filters of the address."""
    rows = ranked_checks(project=access.project, now=now)
    if request.POST.get("all"):
        filters = _Filters.read(request)
        rows = filters.of_status(filters.narrow(rows))
    elif request.POST.get("undoes"):
        rows = rows.filter(pk__in=(request.session.pop("undo", None) or {"ids": []})["ids"])
    else:
        rows = rows.filter(pk__in=[text for text in request.POST.getlist("id") if is_uuid(text)])
    return list(rows.order_by("name", "pk")[:_MOST_AT_ONCE])


def _bulk_delete(request: HttpRequest, access: ProjectContext, chosen: list[Check], now: datetime) -> HttpResponse | None:
    """The question; None once it was answered and the checks are deleted."""
    if not request.POST.get("sure"):
        context = {"checks": chosen, "back": request.get_full_path()}
        return render_page(
            request, access, "dashboard/check_delete.html", context, title=_("Delete checks"), section="checks", now=now
        )
    deleted = sum(_was_done(check_commands.delete_check, access, check.pk, now) for check in chosen)
    words = ngettext("%(count)d check is deleted.", "%(count)d checks are deleted.", deleted)
    messages.success(request, words % {"count": deleted})
    return None


def _was_done(command: check_commands.CheckCommand, access: ProjectContext, check_id: uuid.UUID, now: datetime) -> bool:
    """Do it to one check; one that somebody else deleted meanwhile is passed over."""
    try:
        command(actor=access.actor, check_id=check_id, now=now)
    except Check.DoesNotExist:
        return False
    return True
