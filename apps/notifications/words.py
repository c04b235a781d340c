"""Subject and text of notification e-mails: short and exact, with numbers and units. No database access."""

from __future__ import annotations

from typing import Any

from apps.incidents.words import span_words
from apps.notifications.contract import Message


def subject(message: Message) -> str:
    if message.event == "channel.test":
        return "[GoUpTime] Test of this channel"
    name = message.payload["check"]["name"]
    incident = message.payload["incident"]
    if message.event == "incident.resolved":
        ended = "Deleted" if incident["resolution"] == "check_deleted" else "Up again"
        return _one_line(f"[{ended}] {name} after {_span(incident['duration_s'])}")
    state = "Down" if incident["severity"] == "down" else "Degraded"
    return _one_line(f"[{state}] {name}")


def body(message: Message) -> str:
    if message.event == "channel.test":
        return "This is a test. Messages about the checks of this project will come here.\n"
    payload = message.payload
    check, incident, reason = payload["check"], payload["incident"], payload["reason"]
    lines = [
        _sentence(message.event, check["name"], incident),
        "",
        f"Target:   {check['target']}",
        f"Reason:   {reason['message'] or reason['code']}" if reason else "",
        f"Since:    {incident['started_at']}",
        f"Until:    {incident['resolved_at']}" if incident["resolved_at"] else "",
        f"Down for: {_span(incident['downtime_s'])}" if incident["resolved_at"] else "",
        f"Project:  {payload['organization']['name']} / {payload['project']['name']}",
        "",
        payload["url"],
        "",
    ]
    return "\n".join(line for line, before in zip(lines, [None, *lines], strict=False) if line or before)


def _sentence(event: str, name: str, incident: dict[str, Any]) -> str:
    if event == "incident.resolved":
        if incident["resolution"] == "check_deleted":
            return f"The check {name} was deleted; its incident is closed."
        return f"{name} is up again after {_span(incident['duration_s'])}."
    state = "down" if incident["severity"] == "down" else "degraded"
    return f"{name} went from degraded to down." if event == "incident.worsened" else f"{name} is {state}."


def _span(seconds: float | None) -> str:
    return span_words(seconds or 0)


def _one_line(text: str) -> str:
    """Replace line breaks by spaces: an e-mail header must not contain them."""
    return " ".join(text.split())
