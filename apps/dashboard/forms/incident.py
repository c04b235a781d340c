"""The forms of an incident: one opened by hand, and an update."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.dashboard.forms.line import LineField


class IncidentForm(forms.Form):
    title = LineField(max_length=300, help_text=_("What is wrong, in a sentence."))
    severity = forms.ChoiceField(choices=[("down", "Down"), ("warn", "Degraded")], initial="down")
    message = forms.CharField(max_length=5000, required=False, label=_("What is known"), widget=forms.Textarea(attrs={"rows": 4}))


class UpdateForm(forms.Form):
    text = forms.CharField(max_length=5000, label=_("Comment"), widget=forms.Textarea(attrs={"rows": 3}))
    is_public = forms.BooleanField(required=False, label=_("Show on the status page too"))
