"""How a status, a verdict and a span of time are called on every face: one word for each thing."""

from __future__ import annotations

STATUSES = {
    "down": "Down",
    "warn": "Degraded",
    "unknown": "Unknown",
    "maintenance": "Maintenance",
    "up": "Up",
    "pending": "Waiting for first run",
    "paused": "Paused",
}
"""Of a check, worst first."""
WRONG = ("down", "warn", "unknown")
"""What somebody should look at."""
RANKS = {status: rank for rank, status in enumerate(STATUSES)}
STATES = {
    "up": "Up",
    "degraded": "Degraded",
    "down": "Down",
    "unknown": "Unknown",
    "paused": "Paused",
    "maintenance": "Maintenance",
}
"""Of a run or a span of time."""


def worst(statuses: list[str]) -> str:
    """The status that a group shows; a paused or waiting one does not hide what the others say."""
    return min(statuses, key=RANKS.__getitem__, default="pending")


def span_words(seconds: float) -> str:
    """`45 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    parts = [(whole // 86_400, "d"), (whole // 3_600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((i for i, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value) or "0 s"
