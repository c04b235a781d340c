"""Which texts are accepted as one line, like a name or a title."""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError

_NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, surrogates, line and paragraph separators."""
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They reverse what follows them, also on the page around the text (UAX 9)."""


def validate_line(text: str) -> None:
    """Raise ValidationError for a text with line breaks, control characters or overrides of the writing direction.

    Names go into subjects of mails, logs and pages, where such characters would pass for something else.
    """
    if any(character in _DIRECTIONS or unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise ValidationError("Must be one line without control characters.")
