"""Tags that know the look and no noun of ours: icons, times, figures."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache

from django import template
from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str) -> SafeString:
    """A Lucide icon, inlined. Decoration: the words beside it say what it means."""
    drawing = mark_safe(_drawings()[name])  # noqa: S308  # built by `make assets` from Lucide
    return format_html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>', drawing)


@lru_cache(maxsize=1)
def _drawings() -> dict[str, str]:
    drawings: dict[str, str] = json.loads((settings.ASSETS / "icons.json").read_text())
    return drawings


@register.simple_tag
def moment(at: datetime, shown_as: str = "ago") -> SafeString:
    """A time as `ago`, `for` (how long since), `clock`, `short` or `exact`. In UTC; scripts put it into the reader's zone."""
    text = f"{at:%H:%M:%S}" if shown_as == "clock" else f"{at:%d %b, %H:%M:%S}" if shown_as == "short" else _exact(at)
    return format_html('<time datetime="{}" data-as="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", shown_as, text)


def _exact(at: datetime) -> str:
    return f"{at:%d %b %Y, %H:%M:%S} UTC"


@register.filter
def percent(ratio: float | None) -> str:
    """`99.98 %`, cut and not rounded: 100 % is said of nothing that was ever down."""
    if ratio is None:
        return "–"
    cut = int(ratio * 10_000) / 100
    return f"{cut:.2f}".rstrip("0").rstrip(".") + " %"


@register.filter
def ms(value: float | str | None) -> str:
    if value is None or isinstance(value, str) or value < 0:  # of something that is not there, a template makes an empty text
        return "–"
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 or value == int(value) or value < 0.05 else f"{value:.1f} ms"
