from __future__ import annotations

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.core.admin import ReadOnlyAdmin
from apps.notifications.models import Channel, Delivery
from apps.notifications.services.deliveries import resend
from apps.orgs.actors import user_actor
from apps.orgs.models import User


@admin.register(Channel)
class ChannelAdmin(ReadOnlyAdmin):
    list_display = ["name", "kind", "project", "is_enabled", "created_at", "deleted_at"]
    list_filter = ["kind", "is_enabled"]
    list_select_related = ["project"]
    search_fields = ["name", "project__name", "organization__name"]
    exclude = ["config"]


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["kind", "channel", "status", "attempts", "created_at", "finished_at", "error"]
    list_filter = ["status", "kind"]
    list_select_related = ["channel"]
    search_fields = ["id", "channel__name", "check_row__name", "error"]
    date_hierarchy = "created_at"
    actions = ["send_again"]

    @admin.action(description="Send again those that were given up", permissions=["view"])
    def send_again(self, request: HttpRequest, chosen: QuerySet[Delivery]) -> None:
        now, actor = timezone.now(), user_actor(cast(User, request.user), request.META)
        sent = sum(resend(actor=actor, delivery_id=pk, now=now) for pk in chosen.values_list("pk", flat=True))
        self.message_user(request, f"{sent} are sent again; the others were not given up.", messages.SUCCESS)
