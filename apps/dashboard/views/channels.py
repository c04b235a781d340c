"""Channels: a list with the last delivery of each, and pages to create, edit, test and delete them."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.core.throttle import may_try
from apps.dashboard.access import ProjectContext, enter_project, page, posted
from apps.dashboard.forms.channel import ChannelForm
from apps.dashboard.shell import is_current, nothing_new, show
from apps.notifications.contract import ConfigError
from apps.notifications.masking import unmasked_config
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.selectors import channels_of, last_deliveries, unconfirmed_addresses
from apps.notifications.services.channels import CHANNEL_TESTS, change_channel, create_channel, delete_channel, send_test
from apps.orgs.models import Role


@page()
def channels(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    place, now = enter_project(request, project), timezone.now()
    rows = channels_of(project=place.project)
    last = last_deliveries(channels=rows)
    unconfirmed = {row.pk: unconfirmed_addresses(channel=row) for row in rows}
    parts = [(row.pk, row.name, row.is_enabled, unconfirmed[row.pk], _as_seen(last.get(row.pk))) for row in rows]
    version = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)))
    if is_current(request, version):
        return nothing_new()
    context = {
        "lines": [(row, CHANNEL_KINDS[row.kind], last.get(row.pk), unconfirmed[row.pk]) for row in rows],
        "kinds": CHANNEL_KINDS.values(),
    }
    return show(
        request, place, "dashboard/channels.html", context, title="Channels", section="channels", now=now, version=version
    )


def _as_seen(delivery: Delivery | None) -> tuple[object, ...]:
    return () if delivery is None else (delivery.pk, delivery.status, delivery.attempts, delivery.error)


@page("GET", "POST")
def new_channel(request: HttpRequest, project: uuid.UUID, kind: str) -> HttpResponse:
    place, now = enter_project(request, project, Role.MEMBER), timezone.now()
    if kind not in CHANNEL_KINDS:
        raise Http404
    form = ChannelForm(kind=CHANNEL_KINDS[kind], data=posted(request), is_admin=place.may_manage)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_channel(
                actor=place.actor, now=now, project=place.project, name=form.cleaned_data["name"], kind=kind, config=form.config()
            )
        except ConfigError as error:
            form.note(error)
        else:
            if "secret" in made.config and not form.config().get("secret"):
                shown = {"row": made, "key": made.config["secret"], "back": "channels-page"}
                return show(request, place, "dashboard/key.html", shown, title="Its secret", section="channels", now=now)
            messages.success(request, f"{made.name} hears every check of this project. Send a test to be sure.")
            return redirect("channels-page", project)
    context = {"form": form, "channel": None, "kind": CHANNEL_KINDS[kind]}
    return show(
        request, place, "dashboard/channel_form.html", context,
        title="New channel", section="channels", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


def _enter(request: HttpRequest, pk: uuid.UUID) -> tuple[ProjectContext, Channel]:
    channel = Channel.objects.select_related("project", "organization").filter(pk=pk, deleted_at=None).first()
    if channel is None:
        raise Http404
    return enter_project(request, channel.project_id, Role.MEMBER), channel


@page("GET", "POST")
def edit_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, channel = _enter(request, pk)
    kind, now = CHANNEL_KINDS[channel.kind], timezone.now()
    form = ChannelForm(kind=kind, data=posted(request), channel=channel, is_admin=place.may_manage)
    if request.method == "POST" and form.is_valid():
        config = unmasked_config(kind, form.config(), channel.config)
        try:
            change_channel(
                actor=place.actor,
                now=now,
                channel=channel,
                name=form.cleaned_data["name"],
                config=config,
                is_enabled=form.cleaned_data["is_enabled"],
            )
        except ConfigError as error:
            form.note(error)
        else:
            messages.success(request, "Saved.")
            return redirect("channels-page", place.project.pk)
    context = {"form": form, "channel": channel, "kind": kind}
    return show(
        request, place, "dashboard/channel_form.html", context,
        title=f"Edit {channel.name}", section="channels", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("POST")
def test_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, channel = _enter(request, pk)
    if may_try(CHANNEL_TESTS, str(place.project.pk)):
        send_test(actor=place.actor, channel=channel, now=timezone.now())
        messages.success(request, "A test is on its way. What came of it appears here.")
    else:
        messages.error(request, "Too many tests. Wait a minute.")
    return redirect("channels-page", place.project.pk)


@page("GET", "POST")
def remove_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    place, channel = _enter(request, pk)
    now = timezone.now()
    if request.method == "POST":
        delete_channel(actor=place.actor, channel=channel, now=now)
        messages.success(request, f"{channel.name} is deleted.")
        return redirect("channels-page", place.project.pk)
    context = {
        "question": f"Delete the channel {channel.name}?",
        "consequence": "Nothing is sent there any more.",
        "back": "channels-page",
    }
    return show(request, place, "dashboard/ask.html", context, title="Delete channel", section="channels", now=now)
