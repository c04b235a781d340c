"""Admin pages that need several apps, hence in the top layer: the doctor, and reprocessing of dead letters."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, SolarSchedule

from apps.core.admin import OperatorsSite
from apps.operations.doctor import findings
from apps.operations.figures import figures
from apps.operations.requeue import requeue
from apps.results.admin import DeadLetterAdmin
from apps.results.models import DeadLetter


def doctor(request: HttpRequest) -> HttpResponse:
    """Show the doctor's findings and the figures that they are based on."""
    seen = figures(now=timezone.now())
    context = {**admin.site.each_context(request), "title": "Doctor", "seen": seen, "findings": findings(seen)}
    return render(request, "admin/doctor.html", context)


# The product has entries by interval alone; schedules by the sun or by a clock only fill the page.
admin.site.unregister([SolarSchedule, ClockedSchedule])

if isinstance(admin.site, OperatorsSite):
    admin.site.register_view("doctor", "Doctor", doctor)


@admin.register(DeadLetter)
class RequeuingAdmin(DeadLetterAdmin):
    actions = ["put_back", "purge"]

    @admin.action(description="Delete the chosen dead letters", permissions=["view"])
    def purge(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        self.message_user(request, f"{chosen.delete()[0]} were deleted.", messages.INFO)

    @admin.action(description="Process the chosen dead letters again", permissions=["view"])
    def put_back(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        now = timezone.now()
        done = sum(requeue(dead_letter=row, now=now) for row in chosen)
        self.message_user(request, f"{done} of {len(chosen)} were processed; the others failed again and stay.", messages.INFO)
