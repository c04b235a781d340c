from __future__ import annotations

from django import forms

from apps.core.text import validate_line


class LineField(forms.CharField):
    """One line of text without control characters, like a name."""

    default_validators = [validate_line]
