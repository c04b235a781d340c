"""Confirmation of e-mail addresses without an account: before it they get nothing but one e-mail with the link."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.template.loader import render_to_string

from apps.core.errors import FieldError
from apps.core.wake import wake
from apps.notifications.models import Channel, ChannelAddress
from apps.notifications.selectors import unconfirmed_addresses

CONFIRM_TASK = "pipeline.send_confirmation"


MOST_ASKED = 50
"""Unconfirmed addresses that an organization may have asked within a day: the e-mails go to people who do not know us."""


@transaction.atomic
def ask_for_confirmation(*, channel: Channel, now: datetime) -> None:
    """Queue one e-mail to each address of the channel that is unconfirmed and was not asked yet.

    Raises FieldError if the organization has asked too many addresses within a day.
    """
    for address in unconfirmed_addresses(channel=channel):
        row, is_new = ChannelAddress.objects.get_or_create(
            organization_id=channel.organization_id, address=address, defaults={"token": secrets.token_urlsafe(32)}
        )
        if is_new:
            wake(CONFIRM_TASK, address=str(row.pk))
    is_recent = Q(mailed_at=None) | Q(mailed_at__gt=now - timedelta(days=1))
    asked = ChannelAddress.objects.filter(is_recent, organization_id=channel.organization_id, confirmed_at=None).count()
    if asked > MOST_ASKED:
        raise FieldError("config.to", f"more than {MOST_ASKED} addresses wait for their confirmation; add them tomorrow")


def send_confirmation(*, address_id: uuid.UUID, now: datetime) -> bool:
    """Send the e-mail with the link, once per address. Returns whether it was sent now."""
    taken = ChannelAddress.objects.filter(pk=address_id, mailed_at=None, confirmed_at=None).update(mailed_at=now)
    if not taken:
        return False
    row = ChannelAddress.objects.get(pk=address_id)
    context = {"address": row.address, "public_url": settings.PUBLIC_URL, "token": row.token}
    try:
        send_mail(
            render_to_string("notifications/confirm_subject.txt").strip(),
            render_to_string("notifications/confirm_mail.txt", context),
            None,
            [row.address],
        )
    except Exception:
        ChannelAddress.objects.filter(pk=address_id).update(mailed_at=None)  # the sweep tries again
        raise
    return True


def waiting_confirmations(*, limit: int = 50) -> list[uuid.UUID]:
    """Return ids of addresses whose e-mail was not sent: its task was lost, or the mail server was unavailable."""
    return list(ChannelAddress.objects.filter(mailed_at=None, confirmed_at=None).values_list("pk", flat=True)[:limit])


def confirm_address(*, token: str, now: datetime) -> ChannelAddress | None:
    """Mark an address as confirmed; repeating it changes nothing. Returns None for an unknown token."""
    row = ChannelAddress.objects.filter(token=token).first()
    if row is not None and row.confirmed_at is None:
        row.confirmed_at = now
        row.save(update_fields=["confirmed_at"])
    return row
