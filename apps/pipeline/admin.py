"""What only the layer that touches every app can do for operators: put a dead letter back to work."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.pipeline.requeue import requeue
from apps.results.admin import DeadLetterAdmin
from apps.results.models import DeadLetter


@admin.register(DeadLetter)
class RequeuingAdmin(DeadLetterAdmin):
    actions = ["put_back"]

    @admin.action(description="Work on them again", permissions=["view"])
    def put_back(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        now = timezone.now()
        done = sum(requeue(letter=letter, now=now) for letter in chosen)
        self.message_user(
            request, f"{done} of {len(chosen)} were worked on; the others stay, or came back with a new error.", messages.INFO
        )
