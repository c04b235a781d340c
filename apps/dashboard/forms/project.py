"""The forms of a project: its name, its keys."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.dashboard.forms.line import LineField
from apps.orgs.models import MAX_RETENTION, MIN_RETENTION, Role


class NameForm(forms.Form):
    name = LineField(max_length=100)


class ProjectForm(NameForm):
    retention_days = forms.IntegerField(
        label=_("Runs are kept for (days)"),
        min_value=MIN_RETENTION,
        max_value=MAX_RETENTION,
        help_text=_("Older ones go. Uptime and incidents stay."),
    )


class KeyForm(forms.Form):
    name = LineField(max_length=100, help_text=_("Where it is used."))
    role = forms.ChoiceField(
        choices=[(Role.VIEWER, "Reads"), (Role.MEMBER, "Reads and writes"), (Role.ADMIN, "Administers the project")],
        initial=Role.MEMBER,
    )
    days = forms.IntegerField(
        label=_("Ends after (days)"), required=False, min_value=1, max_value=3650, help_text=_("Empty: never.")
    )
