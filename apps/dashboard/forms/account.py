"""Forms of first setup, sign-in, project settings, API keys and incidents."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError

from apps.orgs.models import MAX_RETENTION, MIN_RETENTION, Role, User


class WelcomeForm(forms.Form):
    email = forms.EmailField(
        label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        strip=False,
        max_length=1000,
        help_text="At least ten characters.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    organization = forms.CharField(max_length=100, initial="My organization", help_text="Your team or company.")
    project = forms.CharField(max_length=100, initial="My project", help_text="A group of things to watch. You can add more.")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        if "password" in values:
            try:
                password_validation.validate_password(values["password"], User(email=values.get("email", "")))
            except ValidationError as error:
                self.add_error("password", error)
        return values


class SignInForm(forms.Form):
    email = forms.EmailField(
        label="E-mail", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        strip=False, max_length=1000, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class NameForm(forms.Form):
    name = forms.CharField(max_length=100)


class ProjectForm(NameForm):
    retention_days = forms.IntegerField(
        label="Runs are kept for (days)",
        min_value=MIN_RETENTION,
        max_value=MAX_RETENTION,
        help_text="Older ones go. Uptime and incidents stay.",
    )


class KeyForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Where it is used.")
    role = forms.ChoiceField(
        choices=[(Role.VIEWER, "Reads"), (Role.MEMBER, "Reads and writes"), (Role.ADMIN, "Administers the project")],
        initial=Role.MEMBER,
    )
    days = forms.IntegerField(label="Ends after (days)", required=False, min_value=1, max_value=3650, help_text="Empty: never.")


class IncidentForm(forms.Form):
    title = forms.CharField(max_length=300, help_text="What is wrong, in a sentence.")
    severity = forms.ChoiceField(choices=[("down", "Down"), ("warn", "Degraded")], initial="down")
    message = forms.CharField(max_length=5000, required=False, label="What is known", widget=forms.Textarea(attrs={"rows": 4}))


class UpdateForm(forms.Form):
    text = forms.CharField(max_length=5000, label="Comment", widget=forms.Textarea(attrs={"rows": 3}))
    is_public = forms.BooleanField(required=False, label="Show on the status page too")
