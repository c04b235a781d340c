"""The form of a channel: a name, and the fields of its kind."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.errors import FieldError
from apps.dashboard.forms.line import LineField
from apps.notifications.contract import ChannelKind
from apps.notifications.masking import masked_config
from apps.notifications.models import Channel


class ChannelForm(forms.Form):
    name = LineField(max_length=100, help_text=_("What people call it."))
    is_enabled = forms.BooleanField(required=False, initial=True, label=_("Messages are sent here"))

    def __init__(self, *, kind: ChannelKind, is_admin: bool, data: Any = None, channel: Channel | None = None) -> None:
        initial: dict[str, Any] = {"is_enabled": True}
        if channel is not None:
            initial |= {"name": channel.name, "is_enabled": channel.is_enabled}
            shown = masked_config(kind, channel.config, is_admin=is_admin)
            initial |= {f"config.{name}": "\n".join(value) if isinstance(value, list) else value for name, value in shown.items()}
        super().__init__(data=data, initial=initial)
        self.kind = kind
        for field in kind.fields:
            widget = forms.Textarea(attrs={"rows": 3}) if field.is_list else forms.TextInput(attrs={"autocomplete": "off"})
            self.fields[f"config.{field.name}"] = forms.CharField(
                label=field.label, help_text=field.help, required=field.is_required, max_length=5_000, widget=widget
            )

    def config_fields(self) -> list[forms.BoundField]:
        return [self[f"config.{field.name}"] for field in self.kind.fields]

    def config(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for field in self.kind.fields:
            text = self.cleaned_data[f"config.{field.name}"]
            if text:
                values[field.name] = [part for line in text.splitlines() if (part := line.strip(" ,"))] if field.is_list else text
        return values

    def note(self, error: FieldError) -> None:
        sentence = f"{error.message[:1].upper()}{error.message[1:]}."
        self.add_error(error.field if error.field in self.fields else None, sentence)
