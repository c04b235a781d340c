"""Forms of first setup, sign-in, profile and password."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from apps.dashboard.forms.line import LineField
from apps.orgs.models import NAME_LENGTH, User


def time_zones() -> list[tuple[str, Any]]:
    """Return the IANA zones, after the choice of the browser's own."""
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/", "right/")))
    return [("", _("As the browser says")), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class WelcomeForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        strip=False,
        max_length=1000,
        help_text=_("At least ten characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    organization = LineField(max_length=100, initial="My organization", help_text=_("Your team or company."))
    project = LineField(max_length=100, initial="My project", help_text=_("A group of things to watch. You can add more."))

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
        label=_("E-mail"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    password = forms.CharField(
        strip=False, max_length=1000, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class ProfileForm(forms.Form):
    name = LineField(max_length=NAME_LENGTH, required=False, help_text=_("How others see you, for example in an incident."))
    time_zone = forms.ChoiceField(
        label=_("Time zone"), required=False, help_text=_("In which pages show times to you."), choices=time_zones
    )


class PasswordForm(forms.Form):
    current = forms.CharField(
        label=_("Current password"), strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )  # fmt: skip
    new = forms.CharField(
        label=_("New password"), strip=False, max_length=1000, help_text=_("At least ten characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data)
        self._user = user

    def clean_current(self) -> str:
        given: str = self.cleaned_data["current"]
        if not self._user.check_password(given):
            raise ValidationError(_("This is not your current password."))
        return given

    def clean_new(self) -> str:
        given: str = self.cleaned_data["new"]
        password_validation.validate_password(given, self._user)
        return given
