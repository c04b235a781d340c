"""Template tags and filters without domain knowledge: icons, times, numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from django import template
from django.conf import settings
from django.template import Context
from django.utils.html import format_html, json_script
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

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


@register.simple_tag(takes_context=True)
def moment(context: Context, at: datetime, shown_as: str = "ago") -> SafeString:
    """A time as `ago`, `for` (how long since), `clock`, `short` or `exact`. In UTC; scripts show it in the reader's zone.

    Relative times need the page's `now` in the context; they age by script.
    """
    now = context.get("now")
    text = f"{at:%H:%M:%S}" if shown_as == "clock" else f"{at:%d %b, %H:%M:%S}" if shown_as == "short" else _exact(at)
    if now is not None and shown_as in ("ago", "for"):
        length = _length((now - at).total_seconds())
        text = length if shown_as == "for" else _("%(length)s ago") % {"length": length}
    return format_html('<time datetime="{}" data-as="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", shown_as, text)


def _exact(at: datetime) -> str:
    return f"{at:%d %b %Y, %H:%M:%S} UTC"


def _length(seconds: float) -> str:
    """The largest unit alone, as the script has it: `4 min`."""
    whole = max(0, int(seconds))
    size, unit = next((u for u in ((86_400, _("d")), (3_600, _("h")), (60, _("min"))) if whole >= u[0]), (1, _("s")))
    return f"{whole // size} {unit}"


SCRIPT_WORDS = (
    "Up", "Degraded", "Down", "Unknown", "Paused", "Maintenance", "Nothing known", "up", "degraded", "down", "unknown", "paused",
    "maintenance", "ago", "runs", "d", "h", "min", "s", "chosen", "No runs in this range.", "The data could not be loaded.",
    "No connection to the server. This page shows the state of", "Drag to zoom, double-click to reset.",
    "Fact", "Operator", "Name", "Value", "Add assertion",
)  # fmt: skip
"""What scripts say. A test holds the list together with the scripts."""


@register.simple_tag
def script_words() -> SafeString:
    """The translations for scripts; nothing where they would say the same."""
    words = {word: _(word) for word in SCRIPT_WORDS if _(word) != word}
    return json_script(words, "words") if words else SafeString("")


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


@register.filter
def attr(attributes: Mapping[str, str], name: str) -> str:
    """An attribute of a widget, whose name may hold hyphens."""
    return attributes.get(name, "")
