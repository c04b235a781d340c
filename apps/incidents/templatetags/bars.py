"""Template tags that draw bars of history: cells of time, each filled from below with its share of bad time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.core.templatetags.look import percent
from apps.incidents.labels import STATES, span_words
from apps.incidents.list_views import Beat, RunBar
from apps.results.bars import Bar, Cell
from apps.results.uptime import WORST_FIRST, Uptime

register = template.Library()

_LETTERS = {"up": "u", "degraded": "w", "down": "d", "unknown": "x", "paused": "p", "maintenance": "m", "none": "n"}
_FROM_BELOW = (*(state for state in WORST_FIRST if state != "up"), "up")
"""How the parts of a cell stand on each other."""
_LEAST = {"down": 5, "degraded": 5}
"""Minimum height in pixels, so that a failure stays visible however short it was."""


@dataclass(frozen=True)
class _Look:
    """Sizes of a bar in pixels: the distance between cells, and its height."""

    step: int
    height: int


_PILLS, _DAYS = _Look(8, 28), _Look(4, 34)


@register.simple_tag
def time_bar(bar: Bar, label: str, is_in_list: bool = False) -> SafeString:
    """Render a bar of separate cells, with the data for its tooltips. In a list it is no stop of the Tab key."""
    return _bar(_PILLS, bar, _facts_of(bar), label, tab_index=-1 if is_in_list else 0)


@register.simple_tag
def days_bar(bar: Bar, label: str) -> SafeString:
    """Render a bar of days that fills the width of its container, with the data for its tooltips."""
    return _bar(_DAYS, bar, _facts_of(bar), label)


@register.simple_tag
def runs_bar(bar: RunBar, slugs: Mapping[int, str], label: str) -> SafeString:
    """Render a bar of a check's latest rounds, with the data for its tooltips."""
    beats = {index: _run_facts(beat, slugs) for index, beat in bar.beats.items()}
    return _bar(_PILLS, bar.bar, {**_facts_of(bar.bar), "runs": beats}, label)


_SPARK_WIDTH, _SPARK_HEIGHT = 72, 18


@register.simple_tag
def sparkline(values: Sequence[float | None]) -> SafeString:
    """Render a small line of equally spaced values that starts at 0; hours without a value are gaps."""
    highest = max((value for value in values if value is not None), default=0) or 1
    step = _SPARK_WIDTH / max(1, len(values) - 1)
    path, is_drawing = [], False
    for index, value in enumerate(values):
        if value is not None:
            y = _SPARK_HEIGHT - 1 - value / highest * (_SPARK_HEIGHT - 2)
            path.append(f"{'L' if is_drawing else 'M'}{index * step:.1f} {y:.1f}{'' if is_drawing else 'h.1'}")
        is_drawing = value is not None
    if not path:
        return SafeString("")
    return format_html(
        '<svg class="spark" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true"><path d="{2}"/></svg>',
        _SPARK_WIDTH,
        _SPARK_HEIGHT,
        "".join(path),
    )


def _facts_of(bar: Bar) -> dict[str, Any]:
    return {"from": bar.start, "width": bar.width, "cells": [_facts(cell) for cell in bar.cells]}


def _facts(cell: Cell) -> Any:
    """Return a cell's tooltip data: 0 if nothing is known, 1 if all of it was up, else [letter, seconds, letter, …]."""
    if not cell:
        return 0
    if len(cell) == 1 and "up" in cell:
        return 1
    return [part for state, length in cell.items() for part in (_LETTERS[state], max(1, round(length / 1000)))]


def _run_facts(beat: Beat, slugs: Mapping[int, str]) -> list[Any]:
    regions = [[slugs.get(region, "?"), ms, _LETTERS[verdict]] for region, ms, verdict in beat.regions]
    facts = [beat.slot, _LETTERS[beat.state], beat.latency_ms, beat.message[:200] or None, regions or None]
    while facts[-1] is None:
        facts.pop()
    return facts


def _bar(look: _Look, bar: Bar, facts: Any, label: str, tab_index: int = 0) -> SafeString:
    width = len(bar.cells) * look.step
    stretches = SafeString(' preserveAspectRatio="none"' if look is _DAYS else "")
    return format_html(
        '<div class="beats{}" role="img" tabindex="{}" aria-label="{}" data-bar="{}"><svg width="{}" height="{}" '
        'viewBox="0 0 {} {}"{} aria-hidden="true">{}</svg></div>',
        " days" if look is _DAYS else "",
        tab_index,
        f"{label}: {_sum_up(bar.cells)}",
        json.dumps(facts, separators=(",", ":")),
        width,
        look.height,
        width,
        look.height,
        stretches,
        _draw(bar.cells, look),
    )


def _sum_up(cells: Sequence[Cell]) -> str:
    """The bar in words, for those who do not see it: its uptime, and how long it was in each other state."""
    sums: Counter[str] = Counter()
    for cell in cells:
        sums.update(cell)
    whole = Uptime(0, 0, **sums)
    if not sums:
        return _("nothing known yet")
    others = {state: word for state, word in STATES.items() if sums[state] and state != "up"}
    lengths = [f"{str(word).lower()} {span_words(sums[state] / 1000)}" for state, word in others.items()]
    return ", ".join([_("%(percent)s up") % {"percent": percent(whole.ratio)}, *lengths])


def _draw(cells: Sequence[Cell], look: _Look) -> SafeString:
    """Return one SVG path per state; within a cell the strokes are stacked."""
    strokes: dict[str, list[str]] = {}
    middle, height = look.step // 2, look.height
    for index, cell in enumerate(cells):
        x = index * look.step + middle
        if len(cell) <= 1:
            strokes.setdefault(next(iter(cell), "none"), []).append(f"M{x} {height}v-{height}")
            continue
        for state, bottom, part in _stack(cell, height):
            strokes.setdefault(state, []).append(f"M{x} {bottom}v-{part}")
    drawn = [(state, "".join(strokes[state])) for state in ("none", *_FROM_BELOW) if state in strokes]
    hollow = [("hollow", "".join(strokes["maintenance"]))] if "maintenance" in strokes else []
    return format_html_join("", '<path class="v-{}" d="{}"/>', [*drawn, *hollow])


def _stack(cell: Cell, height: int) -> list[tuple[str, int, int]]:
    """Return (state, bottom, height) for each part of a cell with several states; together they fill it."""
    whole = sum(cell.values())
    present = [state for state in _FROM_BELOW if state in cell]
    parts, left = [], height
    for state in present[:-1]:
        part = min(left, max(_LEAST.get(state, 0), round(cell[state] / whole * height)))
        if part:
            parts.append((state, left, part))
            left -= part
    return [*parts, (present[-1], left, left)] if left else parts
