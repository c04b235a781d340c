"""A form field for a length of time, typed as people write it: `90`, `5 min`, `1 h 30 min`."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.incidents.labels import span_words

_UNITS_S = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_PART = re.compile(r"(\d{1,9})\s*([a-z]+)\s*", re.ASCII)


class DurationField(forms.CharField):
    """Seconds; a number without a unit is seconds."""

    default_error_messages = {"invalid": _("Write a length of time like 30 s, 5 min or 1 h 30 min.")}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=40, **options)
        self.widget.attrs |= {"list": "durations", "inputmode": "text"}

    def prepare_value(self, value: Any) -> Any:
        return span_exactly(value) if isinstance(value, int) and value else value

    def clean(self, value: Any) -> int | None:
        text = super().clean(value)
        if not text:
            return None
        seconds = parse_duration(text)
        if seconds is None:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return seconds


def parse_duration(text: str) -> int | None:
    """Return the seconds of a typed length of time, or None if it is none. A lone number is seconds."""
    plain = text.strip().lower()
    if plain.isascii() and plain.isdigit() and len(plain) < 10:
        return int(plain)
    parts = _PART.findall(plain)
    if not parts or _PART.sub("", plain) or any(unit not in _UNITS_S for _, unit in parts):
        return None
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)


def span_exactly(seconds: int) -> str:
    """Return the length in words, none of it left out: what is shown must mean what was saved."""
    rest, parts = seconds, []
    for unit in (86_400, 3_600, 60, 1):
        whole, rest = divmod(rest, unit)
        if whole:
            parts.append(span_words(whole * unit))
    return " ".join(parts) or span_words(0)
