from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.dashboard.forms.line import LineField
from apps.monitors.models import Resource
from apps.statuspages.models import Component, StatusPage
from apps.statuspages.services import ComponentSpec


class StatusPageForm(forms.Form):
    """The page's own fields, and for each resource whether, under which name, in which group and where it is shown."""

    title = LineField(max_length=100)
    slug = forms.SlugField(label=_("Address"), max_length=60, help_text=_("The page is at /status/ and this."))
    description = LineField(max_length=300, required=False, help_text=_("A sentence under the title."))
    is_published = forms.BooleanField(required=False, label=_("Published: everybody who knows the address can read it"))

    def __init__(self, *, page: StatusPage, resources: Sequence[Resource], data: Any = None) -> None:
        known = {c.resource_id: c for c in Component.objects.filter(page=page)}
        super().__init__(data=data, initial={n: getattr(page, n) for n in ("title", "slug", "description", "is_published")})
        positions = {pk: component.position for pk, component in known.items()}
        self.resources = sorted(resources, key=lambda r: (positions.get(r.pk, len(known)), r.name))
        for index, resource in enumerate(self.resources):
            component = known.get(resource.pk)
            label = _("of %(resource)s") % {"resource": resource.name}
            self.fields[f"shown-{resource.pk}"] = forms.BooleanField(
                required=False,
                initial=component is not None,
                label=_("Show %(resource_name)s") % {"resource_name": resource.name},
            )
            self.fields[f"name-{resource.pk}"] = LineField(
                required=False,
                max_length=200,
                initial=component.name if component else resource.name,
                label=_("Name %(label)s") % {"label": label},
            )
            self.fields[f"group-{resource.pk}"] = LineField(
                required=False,
                max_length=100,
                initial=component.group if component else "",
                label=_("Group %(label)s") % {"label": label},
            )
            self.fields[f"position-{resource.pk}"] = forms.IntegerField(
                required=False,
                min_value=0,
                max_value=9_999,
                initial=index + 1,
                label=_("Position %(label)s") % {"label": label},
            )

        for name, field in self.fields.items():
            if "-" in name and not name.startswith("shown-"):
                field.widget.attrs["aria-label"] = field.label  # a table cell shows no label

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"resource": resource, **{part: self[f"{part}-{resource.pk}"] for part in ("shown", "name", "group", "position")}}
            for resource in self.resources
        ]

    def components(self) -> list[ComponentSpec]:
        values = self.cleaned_data
        chosen = [resource for resource in self.resources if values[f"shown-{resource.pk}"]]
        chosen.sort(key=lambda resource: values[f"position-{resource.pk}"] or 0)
        return [ComponentSpec(r, values[f"name-{r.pk}"].strip(), values[f"group-{r.pk}"].strip()) for r in chosen]
