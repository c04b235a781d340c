"""Subject and text of notification e-mails: short and exact, with numbers and units. No database access."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from apps.incidents.labels import span_words
from apps.notifications.contract import Message


def subject(message: Message) -> str:
    if message.event == "channel.test":
        return "[GoUpTime] " + _("Test of this channel")
    incident = message.payload["incident"]
    values = {"name": message.payload["check"]["name"], "length": _span(incident["duration_s"])}
    if message.event != "incident.resolved":
        words = _("[Down] %(name)s") if incident["severity"] == "down" else _("[Degraded] %(name)s")
    elif incident["resolution"] == "check_deleted":
        words = _("[Deleted] %(name)s after %(length)s")
    else:
        words = _("[Recovered] %(name)s after %(length)s")
    return _one_line(words % values)


def body(message: Message) -> str:
    if message.event == "channel.test":
        return _("This is a test. Notifications about the checks of this project will arrive here.") + "\n"
    payload = message.payload
    incident, reason = payload["incident"], payload["reason"]
    facts = [
        (_("Target"), payload["check"]["target"]),
        (_("Reason"), reason and (reason["message"] or reason["code"])),
        (_("Started"), incident["started_at"]),
        (_("Ended"), incident["resolved_at"]),
        (_("Downtime"), incident["resolved_at"] and _span(incident["downtime_s"])),
        (_("Project"), f"{payload['organization']['name']} / {payload['project']['name']}"),
    ]
    lines = [f"{label + ':':<10}{value}" for label, value in facts if value]
    return "\n".join([_sentence(message.event, payload["check"]["name"], incident), "", *lines, "", payload["url"], ""])


def _sentence(event: str, name: str, incident: dict[str, Any]) -> str:
    values = {"name": name, "length": _span(incident["duration_s"])}
    if event == "incident.resolved":
        if incident["resolution"] == "check_deleted":
            return _("The check %(name)s was deleted; its incident is closed.") % values
        return _("%(name)s has recovered after %(length)s.") % values
    if event == "incident.worsened":
        return _("%(name)s went from degraded to down.") % values
    return (_("%(name)s is down.") if incident["severity"] == "down" else _("%(name)s is degraded.")) % values


def _span(seconds: float | None) -> str:
    return span_words(seconds or 0)


def _one_line(text: str) -> str:
    """Replace line breaks by spaces: an e-mail header must not contain them."""
    return " ".join(text.split())
