"""Template tags and filters without domain knowledge: icons, times, numbers."""

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
    """Return a Lucide icon as inline SVG. It is hidden from screen readers: the text beside it carries the meaning."""
    drawing = mark_safe(_drawings()[name])  # noqa: S308  # built by `make assets` from Lucide
    return format_html('<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{}</svg>', drawing)


@lru_cache(maxsize=1)
def _drawings() -> dict[str, str]:
    drawings: dict[str, str] = json.loads((settings.ASSETS / "icons.json").read_text())
    return drawings


@register.simple_tag
def moment(at: datetime, shown_as: str = "ago") -> SafeString:
    """Return a `<time>` element, shown as `ago`, `for` (time elapsed), `clock`, `short` or `exact`.

    The text is in UTC; scripts convert it to the reader's time zone.
    """
    text = f"{at:%H:%M:%S}" if shown_as == "clock" else f"{at:%d %b, %H:%M:%S}" if shown_as == "short" else _exact(at)
    return format_html('<time datetime="{}" data-as="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", shown_as, text)


def _exact(at: datetime) -> str:
    return f"{at:%d %b %Y, %H:%M:%S} UTC"


@register.filter
def percent(ratio: float | None) -> str:
    """Return a ratio as `99.98 %`, truncated instead of rounded: whatever was ever down is never shown with 100 %."""
    if ratio is None:
        return "–"
    cut = int(ratio * 10_000) / 100
    return f"{cut:.2f}".rstrip("0").rstrip(".") + " %"


@register.filter
def ms(value: float | str | None) -> str:
    if value is None or isinstance(value, str) or value < 0:  # templates give '' for a missing value
        return "–"
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 10 or value == int(value) or value < 0.05 else f"{value:.1f} ms"
