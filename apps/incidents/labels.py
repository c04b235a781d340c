"""Labels for statuses, states and durations: one word for each, the same on every page."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

STATUSES: dict[str, Promise] = {
    "down": gettext_lazy("Down"),
    "warn": gettext_lazy("Degraded"),
    "unknown": gettext_lazy("Unknown"),
    "maintenance": gettext_lazy("Maintenance"),
    "up": gettext_lazy("Up"),
    "pending": gettext_lazy("Waiting for first run"),
    "paused": gettext_lazy("Paused"),
}
"""Statuses of a check, the worst first."""
PROBLEMS = ("down", "warn", "unknown")
"""Statuses that need attention."""
RANKS = {status: rank for rank, status in enumerate(STATUSES)}
STATES: dict[str, Promise] = {
    "up": gettext_lazy("Up"),
    "degraded": gettext_lazy("Degraded"),
    "down": gettext_lazy("Down"),
    "unknown": gettext_lazy("Unknown"),
    "paused": gettext_lazy("Paused"),
    "maintenance": gettext_lazy("Maintenance"),
}
"""States of a run or a span of time."""


def worst(statuses: Sequence[str]) -> str:
    """Return the status of a group, the worst of its members; paused and pending members do not hide the others."""
    return min(statuses, key=RANKS.__getitem__, default="pending")


def span_words(seconds: float) -> str:
    """Return a duration in its two largest units: `45 s`, `4 min 10 s`, `2 h 5 min` or `3 d 4 h`."""
    whole = max(0, int(seconds))
    parts = [(whole // 86_400, _("d")), (whole // 3_600 % 24, _("h")), (whole // 60 % 60, _("min")), (whole % 60, _("s"))]
    first = next((i for i, (value, _unit) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value) or _("0 s")
