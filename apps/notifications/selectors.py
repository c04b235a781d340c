"""Reads of channels, deliveries and confirmed e-mail addresses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db.models import OuterRef, QuerySet, Subquery

from apps.incidents.models import Incident, IncidentEvent
from apps.notifications.models import Channel, ChannelAddress, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.orgs.emails import normalized_email
from apps.orgs.models import Project, User


def channels_of(*, project: Project) -> list[Channel]:
    return list(Channel.objects.live().filter(project=project).order_by("name", "pk"))


def deliveries_of_incident(*, incident: Incident) -> list[Delivery]:
    """Return the incident's first hundred deliveries, in order of creation."""
    found = Delivery.objects.filter(event__incident=incident).select_related("channel")
    return list(found.order_by("created_at", "seq", "pk")[:100])


def opening_deliveries(*, incident_id: uuid.UUID | OuterRef, statuses: Sequence[str]) -> QuerySet[Delivery]:
    """Return the deliveries that told of an incident's opening and have one of these statuses.

    A channel that was not told of it is not told of its end.
    """
    return Delivery.objects.filter(event__incident_id=incident_id, status__in=statuses).exclude(kind=IncidentEvent.Kind.RESOLVED)


def last_deliveries(*, channels: Sequence[Channel]) -> dict[uuid.UUID, Delivery]:
    """Return the newest delivery of each channel; one index look-up per channel, however many deliveries there are."""
    newest = Delivery.objects.filter(channel=OuterRef("pk")).order_by("-created_at").values("pk")[:1]
    named = Channel.objects.filter(pk__in=[channel.pk for channel in channels]).annotate(newest=Subquery(newest))
    found = Delivery.objects.filter(pk__in=[row.newest for row in named if row.newest])  # type: ignore[attr-defined]  # annotated
    return {delivery.channel_id: delivery for delivery in found}


def address_of_token(*, token: str) -> ChannelAddress | None:
    return ChannelAddress.objects.filter(token=token).first()


def unconfirmed_by_channel(*, channels: Sequence[Channel]) -> dict[uuid.UUID, list[str]]:
    """Return each channel's addresses that are not confirmed: neither by a link nor as the account of a member.

    At most two queries, however many channels; they are of one organization.
    """
    wanted = {channel.pk: _addresses_of(channel) for channel in channels}
    addresses = {address for found in wanted.values() for address in found}
    if not addresses:
        return wanted
    organization_id = channels[0].organization_id
    confirmed = ChannelAddress.objects.filter(organization_id=organization_id, address__in=addresses, confirmed_at__isnull=False)
    members = User.objects.filter(
        memberships__organization_id=organization_id, email__in={normalized_email(address) for address in addresses}
    )
    known = {*confirmed.values_list("address", flat=True), *members.values_list("email", flat=True)}
    return {
        pk: [address for address in found if address not in known and normalized_email(address) not in known]
        for pk, found in wanted.items()
    }


def unconfirmed_addresses(*, channel: Channel) -> list[str]:
    return unconfirmed_by_channel(channels=[channel])[channel.pk]


def _addresses_of(channel: Channel) -> list[str]:
    """The addresses in a channel's config that must be confirmed; none of most kinds."""
    field = CHANNEL_KINDS[channel.kind].confirmed_field
    return list(channel.config[field]) if field else []
