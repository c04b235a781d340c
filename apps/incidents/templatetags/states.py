"""Tags that draw statuses and history: the one home of their shapes and words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from apps.core.clock import from_ms
from apps.core.templatetags.look import percent
from apps.incidents.list_views import Beat, Stretches
from apps.incidents.words import STATES, STATUSES, span_words
from apps.monitors.models import Check
from apps.probes.reasons import MEANINGS
from apps.results.uptime import Cell

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


_HEIGHT, _STEP = 28, 8


@register.simple_tag
def beat_bar(beats: Sequence[Beat], slugs: Mapping[int, str] | None = None, label: str = "", least: int = 0) -> SafeString:
    """The last rounds as pills, newest at the right, with the material of their tooltips."""
    padded = [*[Beat(0, "none")] * (least - len(beats)), *beats]
    return _bar([beat.state for beat in padded], [_facts(beat, slugs or {}) for beat in padded], label)


@register.simple_tag
def stretch_bar(stretches: Stretches, label: str = "") -> SafeString:
    """Equal stretches of time as pills, with the material of their tooltips in short: a letter for each."""
    letters = "".join([_LETTERS[state] for state in stretches.states])
    return _bar(stretches.states, {"from": stretches.start, "width": stretches.width, "states": letters}, label)


def _bar(states: Sequence[str], facts: Any, label: str) -> SafeString:
    counts = Counter(states)
    said = ", ".join(f"{counts[state]} {word.lower()}" for state, word in STATES.items() if counts[state]) or "no run yet"
    width = len(states) * _STEP
    return format_html(
        '<div class="beats" role="img" tabindex="0" aria-label="{}" data-beats="{}"><svg width="{}" height="{}" '
        'viewBox="0 0 {} {}" aria-hidden="true">{}</svg></div>',
        f"{label}{': ' if label else ''}{said}",
        json.dumps(facts, separators=(",", ":")),
        width,
        _HEIGHT,
        width,
        _HEIGHT,
        _drawn(states),
    )


_ORDER = ("none", "paused", "unknown", "up", "degraded", "down", "maintenance")


def _drawn(states: Sequence[str]) -> SafeString:
    """A path for each state, in the order of drawing: maintenance is a pill with a hollow over it."""
    strokes: dict[str, list[str]] = {}
    for index, state in enumerate(states):
        strokes.setdefault(state, []).append(f"M{index * _STEP + 4} 4v{_HEIGHT - 8}")
    drawn = [(state, "".join(strokes[state])) for state in _ORDER if state in strokes]
    hollow = [("hollow", "".join(strokes["maintenance"]))] if "maintenance" in strokes else []
    return format_html_join("", '<path class="v-{}" d="{}"/>', [*drawn, *hollow])


_LETTERS = {"up": "u", "degraded": "w", "down": "d", "unknown": "x", "paused": "p", "maintenance": "m", "none": "n"}


def _facts(beat: Beat, slugs: Mapping[int, str]) -> list[Any]:
    regions = [[slugs.get(region, "?"), ms, _LETTERS[verdict]] for region, ms, verdict in beat.regions]
    facts = [beat.slot, _LETTERS[beat.state], beat.latency_ms, beat.message[:200] or None, regions or None]
    while facts[-1] is None:
        facts.pop()
    return facts


_DAY_CLASSES = {state: SafeString("" if state == "up" else f" class={letter}") for state, letter in _LETTERS.items()}


@register.simple_tag
def day_bar(cells: Sequence[Cell], label: str) -> SafeString:
    """One cell a day; its tooltip tells the uptime by duration. Days before the first are empty."""
    # A stroke for a day, as short as it can be written: a page with a hundred bars has nine thousand of them.
    strokes = format_html_join(
        "",
        '<path{} d="M{} 2v30"><title>{}</title></path>',
        [(_DAY_CLASSES[cell.worst or "none"], index * 4 + 2, _day_words(cell)) for index, cell in enumerate(cells)],
    )
    return format_html(
        '<svg class="days" viewBox="0 0 {} 34" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        len(cells) * 4,
        f"{label}: {_days_said(cells)}",
        strokes,
    )


def _days_said(cells: Sequence[Cell]) -> str:
    counts = {state: sum(cell.worst == state for cell in cells) for state in ("down", "degraded", "up")}
    parts = [f"{number} days {words}" for state, words in _SAID.items() if (number := counts[state])]
    return ", ".join(parts) or "no history yet"


_SAID = {"down": "with an outage", "degraded": "degraded", "up": "without trouble"}


def _day_words(cell: Cell) -> str:
    day = datetime.fromtimestamp(cell.start / 1000, UTC)
    sums, parts = cell.sums, [f"{day.day} {day:%b}: {'no data' if cell.sums.ratio is None else percent(cell.sums.ratio)}"]
    lengths = {"down": sums.down, "degraded": sums.degraded, "unknown": sums.unknown, "paused": sums.paused}
    return ", ".join([*parts, *(f"{state} {span_words(length / 1000)}" for state, length in lengths.items() if length)])


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
