"""Tags that draw statuses and history: the one home of their shapes and words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.core.clock import from_ms
from apps.incidents.words import STATES, STATUSES, span_words
from apps.monitors.models import Check
from apps.probes.reasons import MEANINGS

register = template.Library()

_SHAPES = {
    "up": '<circle cx="6" cy="6" r="5" stroke="none"/>',
    "warn": '<path d="M6 1 11.5 11H.5z" stroke="none"/>',
    "down": '<rect x="1" y="1" width="10" height="10" rx="1.5" stroke="none"/>',
    "unknown": '<circle cx="6" cy="6" r="4.25" fill="none" stroke-width="1.75"/>',
    "maintenance": '<path d="M6 .2 11.8 6 6 11.8.2 6z" stroke="none"/>',
    "paused": '<path d="M3.5 1.5v9M8.5 1.5v9" stroke-width="2.25" fill="none" stroke-linecap="round"/>',
    "pending": '<circle cx="6" cy="6" r="4.25" fill="none" stroke-width="1.75" stroke-dasharray="2.2 2.25"/>',
}
_AS_STATUS = {"degraded": "warn", "none": "pending"}


@register.simple_tag
@lru_cache(maxsize=len(_SHAPES) + len(_AS_STATUS))
def mark(status: str) -> SafeString:
    """The shape alone, for where the word stands beside it. Takes a status, or the state of a span."""
    shape = _SHAPES[_AS_STATUS.get(status, status)]
    return format_html(
        '<svg class="mark is-{}" viewBox="0 0 12 12" aria-hidden="true">{}</svg>',
        _AS_STATUS.get(status, status),
        mark_safe(shape),  # noqa: S308  # a literal above
    )


_LOOKS = {"": "status", "badge": "badge", "headline": "headline"}


@register.simple_tag
@lru_cache(maxsize=256)
def status(status: str, look: str = "", word: str = "") -> SafeString:
    """Mark and word, plain or as a badge or a headline; `word` says it otherwise."""
    shown = word or status_word(status)
    return format_html('<span class="{} is-{}">{}{}</span>', _LOOKS[look], status, mark(status), shown)


@register.filter
def status_word(status: str) -> str:
    return STATUSES.get(status) or STATES[status]


@register.filter
def span(seconds: float | None) -> str:
    return span_words(seconds or 0)


_FACT_NAMES = {
    "http_version": "HTTP version", "ttl": "TTL", "rcode": "response code", "ocsp": "OCSP", "is_capped": "cut short",
    "rtt_min": "fastest (ms)", "rtt_avg": "on average (ms)", "rtt_max": "slowest (ms)", "jitter": "jitter (ms)",
    "loss": "loss (%)", "others": "further runs", "runtime_ms": "runtime (ms)",
}  # fmt: skip


@register.filter
def fact_name(name: str) -> str:
    return _FACT_NAMES.get(name, name.replace("_", " "))


@register.filter
def fact(value: Any) -> str:
    """A fact's value as people read it: lists by comma, parts by name."""
    if isinstance(value, list):
        return ", ".join(map(fact, value))
    if isinstance(value, dict):
        return ", ".join(f"{fact_name(name)} {fact(inner)}" for name, inner in value.items() if inner not in (None, ""))
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@register.filter
def cadence(check: Check) -> str:
    """How often: its interval, or what a heartbeat is expected by."""
    return check.options.get("cron") or span_words(check.options.get("period_s") or check.interval_s)


_WORDS = {reason.value: meaning.words for reason, meaning in MEANINGS.items()}


@register.filter
def why(reason: tuple[str, str] | None) -> str:
    """(code, message) in words: an assertion alone would be a riddle."""
    if reason is None:
        return ""
    code, message = reason
    words = _WORDS.get(code, code)
    if not message or message == words:
        return words
    return f"{words}: {message}" if message.startswith("[") else f"{message[0].upper()}{message[1:]}"


_ADVICE = {reason.value: meaning.advice for reason, meaning in MEANINGS.items()}


@register.filter
def advice(code: str) -> str:
    """What to do about a reason."""
    return _ADVICE.get(code, "")


@register.filter
def at_ms(value: int) -> datetime:
    return from_ms(value)


_PHASES = (("dns", "DNS"), ("connect", "Connect"), ("tls", "TLS"), ("first_byte", "First byte"), ("transfer", "Transfer"))


@register.inclusion_tag("components/phases.html")
def phases(figures: Mapping[str, float | None], total_ms: float | None = None) -> dict[str, Any]:
    """DNS, connect, TLS, first byte, transfer as parts of one bar; the longest in ink."""
    known = {name: float(figures[name] or 0) for name, _ in _PHASES if figures.get(name)}
    if total_ms is not None and "first_byte" in known and "transfer" not in known:
        known["transfer"] = max(0.0, total_ms - sum(known.values()))
    whole = sum(known.values()) or 1.0
    slowest = max(known, key=known.__getitem__, default="")
    parts, at = [], 0.0
    for number, (name, title) in enumerate(_PHASES, start=1):
        if name in known:
            wide = known[name] / whole * 1000
            style = "phase-slow" if name == slowest else f"phase-{number}"
            parts.append({"title": title, "ms": known[name], "x": round(at, 1), "width": round(wide, 1), "style": style})
            at += wide
    return {"parts": parts}
