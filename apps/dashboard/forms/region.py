"""The forms of a region: a new one, and its name and use."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.dashboard.forms.line import LineField


class NewRegionForm(forms.Form):
    slug = forms.SlugField(max_length=40, help_text=_("Letters, digits, - and _. It names the region for programs, for ever."))
    name = LineField(max_length=100, help_text=_("What people call it, like Frankfurt."))


class RegionForm(forms.Form):
    name = LineField(max_length=100)
    is_enabled = forms.BooleanField(required=False, label=_("Checks run here"))
