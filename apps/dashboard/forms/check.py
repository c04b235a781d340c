"""The form of a check: the fields that every check has, and those that its kind describes."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from apps.core.errors import FieldError
from apps.dashboard.forms.durations import DurationField
from apps.dashboard.forms.line import LineField
from apps.monitors.check_spec import CheckSpec, masked_options, validate_spec
from apps.monitors.models import MAX_INTERVAL_S, Check, Region
from apps.probes.contract import Kind, OptionField
from apps.probes.registry import KINDS

_EXAMPLE = "example.org"
_JUDGEMENT = ("timeout_s", "degraded_ms", "retries", "fail_after", "recover_after", "quorum")
_MOST_TOLD = 3
_OF_PROBES = ("timeout_s", "retries", "quorum")
"""Fields without a meaning for a passive check, which no probe runs."""


@dataclass(frozen=True)
class OptionGroup:
    title: str
    fields: list[forms.BoundField]
    in_short: str
    """A line about the options that differ from the kind's defaults; without any, about the defaults."""
    has_errors: bool


class CheckForm(forms.Form):
    """Field names are those of the API (`options.…` included), so that a service's error can be shown at its field."""

    name = LineField(max_length=200, help_text=_("What people call it."))
    kind = forms.ChoiceField()
    target = forms.CharField(max_length=2000)
    interval_s = DurationField(label=_("Interval"), help_text=_("From 5 s to 1 d."))
    resource_name = LineField(
        label=_("Resource"),
        max_length=200,
        required=False,
        help_text=_("The site or service that it belongs to; by default one of the check's own name."),
    )
    regions = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    timeout_s = DurationField(label=_("Timeout"), required=False, help_text=_("A run that takes longer is down. At most 60 s."))
    degraded_ms = forms.IntegerField(
        label=_("Degraded above (ms)"), required=False, help_text=_("Slower answers count as degraded. Empty: never.")
    )
    retries = forms.IntegerField(
        label=_("Retries"), initial=0, required=False, help_text=_("Further attempts within a run, before it counts as failed.")
    )
    fail_after = forms.IntegerField(
        label=_("Failures to open an incident"), initial=1, help_text=_("Failed rounds in a row that confirm an outage.")
    )
    recover_after = forms.IntegerField(
        label=_("Successes to resolve it"), initial=1, help_text=_("Good rounds in a row that confirm the recovery.")
    )
    quorum = forms.IntegerField(
        label=_("Regions that must agree"), required=False, help_text=_("Empty: a majority of the regions that are alive.")
    )

    def __init__(
        self, *, kind: Kind, regions: Sequence[Region], data: Any = None, initial: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(data=data, initial=dict(initial or {}))
        self.probe = kind
        self.fields["kind"].choices = [(name, known.title) for name, known in KINDS.items()]  # type: ignore[attr-defined]
        self.fields["target"].label = kind.asks
        self.fields["target"].widget.attrs["placeholder"] = kind.example[0]
        if kind.is_passive:
            self.fields["target"].required = False
            self.fields["interval_s"].label = _("Expected every")
            self.fields["interval_s"].help_text = _("From 5 s to 365 d. A cron expression counts instead.")
            self.fields["fail_after"].help_text = _("Missed and failed pings in a row before an incident opens.")
        self.fields["regions"].choices = [(region.slug, region.name) for region in regions]  # type: ignore[attr-defined]
        for described in _shown_options(kind):
            field = self.fields[f"options.{described.name}"] = _field(described)
            if described.shown_for:
                option, *values = described.shown_for
                field.widget.attrs |= {"data-shown-for": f"options.{option}={'|'.join(values)}"}
        for field in self.fields.values():
            field.widget.attrs.setdefault("autocomplete", "off")

    def option_groups(self) -> list[OptionGroup]:
        """Return the option fields in the groups that the page folds, the kind's main group first."""
        usual = _option_values(self.probe, default_options(self.probe))
        groups: dict[str, list[OptionField]] = {"": []}
        for described in _shown_options(self.probe):
            groups.setdefault(described.group, []).append(described)
        return [self._group(title, described, usual) for title, described in groups.items() if described]

    def _group(self, title: str, described: list[OptionField], usual: Mapping[str, Any]) -> OptionGroup:
        fields = [self[f"options.{one.name}"] for one in described]
        differing = [
            (one, field.value())
            for one, field in zip(described, fields, strict=True)
            if str(field.value()) != str(field.field.prepare_value(usual[f"options.{one.name}"]))
        ]
        named = differing or [(one, field.value()) for one, field in zip(described, fields, strict=True) if one.shape != "flag"]
        shown = [text for one, value in named if (text := _short(one, value))]
        return OptionGroup(
            title=title or _("%(kind)s options") % {"kind": self.probe.title},
            fields=fields,
            in_short=", ".join(shown[:_MOST_TOLD]) or str(_("none")),
            has_errors=any(field.errors for field in fields),
        )

    def judgement_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in _JUDGEMENT if not (self.probe.is_passive and name in _OF_PROBES)]

    @property
    def has_judgement_errors(self) -> bool:
        return any(field.errors for field in self.judgement_fields())

    def judgement_in_short(self) -> str:
        parts = []
        if not self.probe.is_passive:
            timeout = self["timeout_s"].value()
            parts.append(_("timeout %(timeout)s") % {"timeout": timeout} if timeout else _("timeout by interval"))
        fails, recovers = self["fail_after"].value(), self["recover_after"].value()
        parts.append(_("down after %(fails)s, up after %(recovers)s") % {"fails": fails, "recovers": recovers})
        if self["quorum"].value():
            parts.append(_("%(count)s regions must agree") % {"count": self["quorum"].value()})
        return ", ".join(map(str, parts))

    def spec(self) -> CheckSpec:
        values = self.cleaned_data
        plain = {name: values[name] for name in ("name", "kind", "target", "interval_s", *_JUDGEMENT)}
        plain["retries"] = plain["retries"] or 0
        options = self._options()
        if "period_s" in options:
            is_long = plain["interval_s"] > MAX_INTERVAL_S
            options["period_s"] = plain["interval_s"] if is_long and not options["cron"] else None
            plain["interval_s"] = MAX_INTERVAL_S if is_long else plain["interval_s"]
        return CheckSpec(**plain, options=options, regions=tuple(values["regions"]) or None)

    def changes(self, *, kept_regions: Sequence[str]) -> dict[str, Any]:
        """Return the fields that the form showed, for an edit.

        Regions are included only if they were changed: the form does not show disabled ones, which would be lost.
        """
        spec = vars(self.spec())
        is_same = spec["regions"] is None or set(spec["regions"]) == set(kept_regions)
        return {name: value for name, value in spec.items() if name != "regions" or not is_same}

    def clean(self) -> dict[str, Any]:
        """Where fields are malformed, add what a service would refuse of the others, so that all errors show at once."""
        values = super().clean() or self.cleaned_data
        if self.errors:
            malformed = set(self.errors)
            self.cleaned_data |= {name: self._valid_value(name) for name in malformed}
            try:
                validate_spec(self.spec())
            except FieldError as error:
                self.note(error, besides=malformed)
        return values

    def _valid_value(self, name: str) -> Any:
        if name.startswith("options."):
            return _option_values(self.probe, default_options(self.probe))[name]
        return {"target": self.probe.example[0], "interval_s": 60, "regions": []}.get(name, self.fields[name].initial)

    def note(self, error: FieldError, *, besides: Container[str] = ()) -> None:
        """Add a service's errors to the fields that they name, except to those in `besides`."""
        for known in error.all:
            field = known.field if known.field in self.fields else self._parent(known.field)
            if field not in besides:
                self.add_error(field, known.sentence if field else f"{known.field}: {known.sentence}")

    def _parent(self, name: str) -> str | None:
        """Return the field at which a nested name is shown: `options.headers` for `options.headers.X-Key`."""
        head = ".".join(name.split(".")[:2])
        others = {f"options.{known.name}": known.form_field for known in self.probe.option_fields if known.form_field}
        return head if head in self.fields else others.get(head)

    def _options(self) -> dict[str, Any]:
        defaults = default_options(self.probe)
        values: dict[str, Any] = {}
        for described in self.probe.option_fields:
            if described.form_field:
                values[described.name] = None
                continue
            given = self.cleaned_data[f"options.{described.name}"]
            is_left_out = given is None or (described.shape == "choice" and given not in dict(described.choices))
            values[described.name] = defaults[described.name] if is_left_out else _raw(described, given)
        return values


def _shown_options(kind: Kind) -> list[OptionField]:
    return [described for described in kind.option_fields if not described.form_field]


def _field(described: OptionField) -> forms.Field:
    common: dict[str, Any] = {"label": described.label, "help_text": described.help, "required": False}
    match described.shape:
        case "whole" if described.name.endswith("_s"):
            return DurationField(**common)
        case "whole":
            return forms.IntegerField(**common)
        case "flag":
            return forms.BooleanField(**common)
        case "choice":
            return forms.ChoiceField(choices=described.choices, **common)
        case "long" | "lines" | "headers":
            rows = {"rows": 3, "spellcheck": "false"} | ({"data-facts": " ".join(described.facts)} if described.facts else {})
            return _Lines(described, **common, widget=forms.Textarea(attrs=rows), strip=False)
        case _:
            return forms.CharField(**common, strip=False)


class _Lines(forms.CharField):
    def __init__(self, described: OptionField, **options: Any) -> None:
        super().__init__(**options)
        self._described = described

    def clean(self, value: Any) -> Any:
        text = str(super().clean(value)).replace("\r\n", "\n")
        if self._described.shape == "headers":
            for line in filter(None, map(str.strip, text.split("\n"))):
                if ":" not in line:
                    raise forms.ValidationError(
                        _("A header is a name, a colon and a value: “%(line)s” has no colon.") % {"line": line[:60]}
                    )
        return text


def _raw(described: OptionField, value: Any) -> Any:
    match described.shape:
        case "list":
            return [item.strip() for item in value.split(",") if item.strip()]
        case "lines":
            return [line for line in value.split("\n") if line.strip()]
        case "headers":
            pairs = (line.partition(":") for line in value.split("\n") if line.strip())
            return {name.strip(): content.strip() for name, _, content in pairs}
        case _:
            return value


def _shown(described: OptionField, value: Any) -> Any:
    match described.shape:
        case "list":
            return ", ".join(map(str, value))
        case "lines":
            return "\n".join(map(str, value))
        case "headers":
            return "\n".join(f"{name}: {content}" for name, content in value.items())
        case _:
            return value


def _uncapitalized(label: str) -> str:
    """Return a label as it stands within a line; abbreviations keep their capitals."""
    return label if label[1:2].isupper() else f"{label[:1].lower()}{label[1:]}"


def _short(described: OptionField, value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    match described.shape:
        case "flag":
            return f"{_uncapitalized(described.label)}: {_('yes') if value else _('no')}"
        case "headers":
            count = len(str(value).strip().splitlines())
            return ngettext("%(count)d header", "%(count)d headers", count) % {"count": count}
        case "long" | "lines":
            return _uncapitalized(described.label)
        case "choice":
            return f"{_uncapitalized(described.label)}: {dict(described.choices).get(value, value)}"
        case _:
            return f"{_uncapitalized(described.label)}: {value}"


def default_options(kind: Kind) -> dict[str, Any]:
    """Return the kind's options with their defaults."""
    return dict(kind.parse(kind.propose(_EXAMPLE) or _EXAMPLE, {}).stored())


def new_values(kind: Kind, typed: str) -> dict[str, Any]:
    """Return the initial values of a new check of this kind, derived from the address that the user typed."""
    target = kind.propose(typed.strip()) or typed.strip()
    host = target.partition("://")[2] or target
    return {
        "kind": kind.name,
        "target": target,
        "name": host.partition("/")[0].rpartition("@")[2][:200],
        "interval_s": 60,
        **_option_values(kind, default_options(kind)),
    }


def known_values(check: Check, slugs: Mapping[int, str], *, is_clone: bool = False) -> dict[str, Any]:
    """Return the form's values for a check, or for a copy of it: without its secrets, and what must be unique."""
    kind = KINDS[check.kind]
    plain = {name: getattr(check, name) for name in ("name", "kind", "target", "interval_s", *_JUDGEMENT)}
    options = {**default_options(kind), **(check.options if is_clone else masked_options(check))}
    plain["interval_s"] = options.get("period_s") or plain["interval_s"]
    if is_clone:
        plain["name"] = _("Copy of %(name)s") % {"name": check.name}
        options |= {"slug": ""} if "slug" in options else {}
    regions = [slugs[region] for region in check.region_ids if region in slugs]
    return {**plain, "resource_name": check.resource.name, "regions": regions, **_option_values(kind, options)}


def _option_values(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"options.{field.name}": _shown(field, options[field.name]) for field in kind.option_fields if field.name in options}
