from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from apps.monitors.models import Resource
from apps.statuspages.models import Component, StatusPage
from apps.statuspages.services import ComponentSpec


class StatusPageForm(forms.Form):
    """The page's own fields, and for each resource whether, under which name, in which group and where it is shown."""

    title = forms.CharField(max_length=100)
    slug = forms.SlugField(label="Address", max_length=60, help_text="The page is at /status/ and this.")
    description = forms.CharField(max_length=300, required=False, help_text="A sentence under the title.")
    is_published = forms.BooleanField(required=False, label="Published: everybody who knows the address can read it")

    def __init__(self, *, page: StatusPage, resources: Sequence[Resource], data: Any = None) -> None:
        known = {c.resource_id: c for c in Component.objects.filter(page=page)}
        super().__init__(data=data, initial={n: getattr(page, n) for n in ("title", "slug", "description", "is_published")})
        positions = {pk: component.position for pk, component in known.items()}
        self.resources = sorted(resources, key=lambda r: (positions.get(r.pk, len(known)), r.name))
        for place, resource in enumerate(self.resources):
            component = known.get(resource.pk)
            label = f"of {resource.name}"
            self.fields[f"shown-{resource.pk}"] = forms.BooleanField(
                required=False, initial=component is not None, label=f"Show {resource.name}"
            )
            self.fields[f"name-{resource.pk}"] = forms.CharField(
                required=False, max_length=200, initial=component.name if component else resource.name, label=f"Name {label}"
            )
            self.fields[f"group-{resource.pk}"] = forms.CharField(
                required=False, max_length=100, initial=component.group if component else "", label=f"Group {label}"
            )
            self.fields[f"place-{resource.pk}"] = forms.IntegerField(
                required=False, min_value=0, max_value=9_999, initial=place + 1, label=f"ProjectContext {label}"
            )

        for field in self.fields.values():
            if field.label and " of " in str(field.label):
                field.widget.attrs["aria-label"] = field.label  # a table cell shows no label

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"resource": resource, **{part: self[f"{part}-{resource.pk}"] for part in ("shown", "name", "group", "place")}}
            for resource in self.resources
        ]

    def components(self) -> list[ComponentSpec]:
        values = self.cleaned_data
        chosen = [resource for resource in self.resources if values[f"shown-{resource.pk}"]]
        chosen.sort(key=lambda resource: values[f"place-{resource.pk}"] or 0)
        return [ComponentSpec(r, values[f"name-{r.pk}"].strip(), values[f"group-{r.pk}"].strip()) for r in chosen]
