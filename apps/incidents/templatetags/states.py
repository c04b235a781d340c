"""Template tags that render statuses, reasons, facts and phases: the only place for their shapes and words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.clock import from_ms
from apps.core.templatetags.look import percent
from apps.incidents.history import UptimeFigure
from apps.incidents.labels import STATES, STATUSES, span_words
from apps.incidents.selectors import ShownState
from apps.monitors.models import Check
from apps.probes.reasons import MEANINGS
from apps.probes.registry import KINDS
from apps.results.uptime import Uptime

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
    """Render only the shape, for use beside the word. Takes a status, or the state of a span."""
    shape = _SHAPES[_AS_STATUS.get(status, status)]
    return format_html(
        '<svg class="mark is-{}" viewBox="0 0 12 12" aria-hidden="true">{}</svg>',
        _AS_STATUS.get(status, status),
        mark_safe(shape),  # noqa: S308  # a literal above
    )


_LOOKS = {"": "status", "badge": "badge", "headline": "headline"}


@register.simple_tag
def status(status: str, look: str = "", word: str = "") -> SafeString:
    """Render shape and word, plain or as a badge or headline; `word` replaces the usual word."""
    return _status(status, look, word or status_word(status))


@lru_cache(maxsize=256)
def _status(status: str, look: str, shown: str) -> SafeString:
    return format_html('<span class="{} is-{}">{}{}</span>', _LOOKS[look], status, mark(status), shown)


@register.filter
def status_word(status: str) -> str:
    return str(STATUSES.get(status) or STATES[status])


@register.filter
def state_word(state: ShownState) -> str:
    """Return the word for a check's status; it differs for a check that fails but has no incident yet."""
    return _("Failing, not confirmed") if state.is_unconfirmed else status_word(state.status)


@register.filter
def span(seconds: float | None) -> str:
    return span_words(seconds or 0)


@register.simple_tag
def uptime_figure(uptime: Uptime, days: int) -> SafeString:
    """The uptime of a span of days; of one that was not seen whole, with the time that it speaks of."""
    figure = UptimeFigure(days, uptime)
    if uptime.ratio is None or not figure.is_partial:
        return format_html("{}", percent(uptime.ratio))
    seen = _("of %(length)s seen") % {"length": span_ms(uptime.seen)}
    return format_html('{} <span class="sub">{}</span>', percent(uptime.ratio), seen)


@register.filter
def span_ms(milliseconds: int) -> str:
    """A length of time, one that is not zero never shown as such."""
    return span_words(max(1, milliseconds // 1000) if milliseconds else 0)


_FACT_NAMES = {
    "http_version": "HTTP version", "ttl": "TTL", "rcode": "response code", "ocsp": "OCSP", "is_capped": "truncated",
    "rtt_min": "RTT minimum (ms)", "rtt_avg": "RTT average (ms)", "rtt_max": "RTT maximum (ms)", "jitter": "jitter (ms)",
    "loss": "packet loss (%)", "others": "concurrent runs", "runtime_ms": "runtime (ms)",
}  # fmt: skip


@register.filter
def fact_name(name: str) -> str:
    return _FACT_NAMES.get(name, name.replace("_", " "))


@register.filter
def fact(value: Any) -> str:
    """Format a fact's value for people: lists separated by commas, mappings as names and values."""
    if isinstance(value, list):
        return ", ".join(map(fact, value))
    if isinstance(value, dict):
        return ", ".join(f"{fact_name(name)} {fact(inner)}" for name, inner in value.items() if inner not in (None, ""))
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    text = str(value)
    certificates = text.count("-----BEGIN CERTIFICATE-----")
    if certificates:
        return ngettext("%(count)d certificate", "%(count)d certificates", certificates) % {"count": certificates}
    return text


@register.filter
def run_summary(facts: Mapping[str, Any]) -> str:
    """Return what a run that is up saw, in a few words: for kinds without a status code."""
    certificate = facts.get("certificate") or {}
    parts = [
        str(facts.get("protocol") or ""),
        str(certificate.get("subject") or ""),
        ", ".join(map(str, (facts.get("answers") or [])[:3])),
        str(facts.get("banner") or ""),
        str(facts.get("address") or ""),
    ]
    return next((part for part in (" · ".join(filter(None, parts[:2])), *parts[2:]) if part), "")[:160]


@register.filter
def kind_title(kind: str) -> str:
    return KINDS[kind].title


@register.filter
def cadence(check: Check) -> str:
    """Return how often a check runs: its interval, or the cron expression or period of a heartbeat."""
    return check.options.get("cron") or span_words(check.options.get("period_s") or check.interval_s)


_WORDS = {reason.value: meaning.words for reason, meaning in MEANINGS.items()}


@register.filter
def why(reason: tuple[str, str] | None) -> str:
    """Return a reason (code, message) as a sentence; an assertion is prefixed with the reason's words."""
    if reason is None:
        return ""
    code, message = reason
    words = _(_WORDS.get(code, code))
    if not message or message == words:
        return words
    return f"{words}: {message}" if message.startswith("[") else f"{message[0].upper()}{message[1:]}"


_ADVICE = {reason.value: meaning.advice for reason, meaning in MEANINGS.items()}


@register.filter
def advice(code: str) -> str:
    """Return what to do about a reason; empty if there is no advice."""
    return _(_ADVICE[code]) if code in _ADVICE else ""


@register.filter
def at_ms(value: int) -> datetime:
    return from_ms(value)


_PHASES = (("dns", "DNS"), ("connect", "Connect"), ("tls", "TLS"), ("first_byte", "First byte"), ("transfer", "Transfer"))


@register.inclusion_tag("components/phases.html")
def phases(figures: Mapping[str, float | None], total_ms: float | None = None) -> dict[str, Any]:
    """Lay out DNS, connect, TLS, first byte and transfer as parts of one bar; the slowest is highlighted."""
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
