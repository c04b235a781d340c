"""Channels: a list with the last delivery of each, and pages to create, edit, test and delete them."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.core.errors import FieldError
from apps.core.throttle import allow_attempt
from apps.dashboard.access import ProjectContext, enter_project, page, posted
from apps.dashboard.forms.channel import ChannelForm
from apps.dashboard.shell import is_poll_unchanged, no_content, render_page
from apps.notifications.masking import unmasked_config
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.selectors import channels_of, last_deliveries, unconfirmed_by_channel
from apps.notifications.services.channels import CHANNEL_TESTS, change_channel, create_channel, delete_channel, send_test
from apps.orgs.models import Role


@page()
def channels(request: HttpRequest, project: uuid.UUID) -> HttpResponse:
    access, now = enter_project(request, project), timezone.now()
    rows = channels_of(project=access.project)
    last = last_deliveries(channels=rows)
    unconfirmed = unconfirmed_by_channel(channels=rows)
    parts = [(row.pk, row.name, row.is_enabled, unconfirmed[row.pk], _as_seen(last.get(row.pk))) for row in rows]
    version = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)))
    if is_poll_unchanged(request, version):
        return no_content()
    context = {
        "lines": [(row, CHANNEL_KINDS[row.kind], last.get(row.pk), unconfirmed[row.pk]) for row in rows],
        "kinds": CHANNEL_KINDS.values(),
    }
    return render_page(
        request, access, "dashboard/channels.html", context, title=_("Channels"), section="channels", now=now, version=version
    )


def _as_seen(delivery: Delivery | None) -> tuple[object, ...]:
    return () if delivery is None else (delivery.pk, delivery.status, delivery.attempts, delivery.error)


@page("GET", "POST")
def new_channel(request: HttpRequest, project: uuid.UUID, kind: str) -> HttpResponse:
    access, now = enter_project(request, project, Role.MEMBER), timezone.now()
    if kind not in CHANNEL_KINDS:
        raise Http404
    form = ChannelForm(kind=CHANNEL_KINDS[kind], data=posted(request), is_admin=access.may_manage)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_channel(
                actor=access.actor,
                now=now,
                project=access.project,
                name=form.cleaned_data["name"],
                kind=kind,
                config=form.config(),
            )
        except FieldError as error:
            form.note(error)
        else:
            if "secret" in made.config and not form.config().get("secret"):
                shown = {"row": made, "key": made.config["secret"], "back": "channels-page"}
                return render_page(
                    request, access, "dashboard/key.html", shown, title=_("Its secret"), section="channels", now=now
                )
            messages.success(
                request, _("%(made_name)s hears every check of this project. Send a test to be sure.") % {"made_name": made.name}
            )
            return redirect("channels-page", project)
    context = {"form": form, "channel": None, "kind": CHANNEL_KINDS[kind]}
    return render_page(
        request, access, "dashboard/channel_form.html", context,
        title=_("New channel"), section="channels", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


def _enter(request: HttpRequest, pk: uuid.UUID) -> tuple[ProjectContext, Channel]:
    channel = Channel.objects.live().select_related("project", "organization").filter(pk=pk).first()
    if channel is None:
        raise Http404
    return enter_project(request, channel.project_id, Role.MEMBER), channel


@page("GET", "POST")
def edit_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, channel = _enter(request, pk)
    kind, now = CHANNEL_KINDS[channel.kind], timezone.now()
    form = ChannelForm(kind=kind, data=posted(request), channel=channel, is_admin=access.may_manage)
    if request.method == "POST" and form.is_valid():
        config = unmasked_config(kind, form.config(), channel.config)
        try:
            change_channel(
                actor=access.actor,
                now=now,
                channel=channel,
                name=form.cleaned_data["name"],
                config=config,
                is_enabled=form.cleaned_data["is_enabled"],
            )
        except FieldError as error:
            form.note(error)
        else:
            messages.success(request, _("Saved."))
            return redirect("channels-page", access.project.pk)
    context = {"form": form, "channel": channel, "kind": kind}
    return render_page(
        request, access, "dashboard/channel_form.html", context,
        title=_("Edit %(name)s") % {"name": channel.name}, section="channels", now=now, status=422 if form.errors else 200,
    )  # fmt: skip


@page("POST")
def test_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, channel = _enter(request, pk)
    if allow_attempt(CHANNEL_TESTS, str(access.project.pk)):
        send_test(actor=access.actor, channel=channel, now=timezone.now())
        messages.success(request, _("A test is on its way. What came of it appears here."))
    else:
        messages.error(request, _("Too many tests. Wait a minute."))
    return redirect("channels-page", access.project.pk)


@page("GET", "POST")
def remove_channel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    access, channel = _enter(request, pk)
    now = timezone.now()
    if request.method == "POST":
        delete_channel(actor=access.actor, channel=channel, now=now)
        messages.success(request, _("%(channel_name)s is deleted.") % {"channel_name": channel.name})
        return redirect("channels-page", access.project.pk)
    context = {
        "question": _("Delete the channel %(channel_name)s?") % {"channel_name": channel.name},
        "consequence": _("Nothing is sent there any more."),
        "back": "channels-page",
    }
    return render_page(request, access, "dashboard/ask.html", context, title=_("Delete channel"), section="channels", now=now)
