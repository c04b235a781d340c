"""What a person chooses of a check: its spec, the validation into columns, and its form without secrets.

Services write the columns; this module writes nothing but the core's region, which validation may create.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from apps.core.errors import FieldError
from apps.core.masks import MASK, merge_masked
from apps.monitors.models import MAX_INTERVAL_S, MAX_TIMEOUT_S, MIN_INTERVAL_S, Check, Region
from apps.monitors.regions import ensure_core_region
from apps.net.address_policy import AddressPolicy
from apps.net.hosts import literal
from apps.probes.contract import Kind, OptionError, probe_options
from apps.probes.registry import KINDS


@dataclass(frozen=True)
class CheckSpec:
    """All settings of a check that a person chooses. `regions` are slugs; None means every enabled region."""

    name: str
    kind: str
    target: str
    options: Mapping[str, Any]
    interval_s: int = 60
    timeout_s: int | None = None
    degraded_ms: int | None = None
    retries: int = 0
    fail_after: int = 1
    recover_after: int = 1
    quorum: int | None = None
    regions: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CheckFields:
    """A validated spec as the columns of a check."""

    name: str
    kind: str
    target: str
    options: dict[str, Any]
    secrets: dict[str, Any] | None
    interval_s: int
    timeout_s: int
    degraded_ms: int | None
    retries: int
    fail_after: int
    recover_after: int
    quorum: int | None
    region_ids: list[int]


REVISION_FIELDS = tuple(known.name for known in dataclasses.fields(CheckFields) if known.name != "name")
"""Columns that the probe or the state machine reads: a change begins a revision."""

STREAK_RESET_FIELDS = ("kind", "target", "quorum", "region_ids")
"""A change of these resets the streaks, since earlier rounds say nothing about the new target."""


def changed_spec(check: Check, changes: Mapping[str, Any]) -> CheckSpec:
    """Return the check's spec with these fields changed; options that are not named are kept. Raises FieldError.

    A secret does not follow a check to another origin: whoever may edit the check could otherwise read it there.
    """
    kept_options = {**check.options, **(check.secrets or {})} if changes.get("kind", check.kind) == check.kind else {}
    options = dict(changes.get("options") or {})
    moved = _moved(check, changes, kept_options, options)
    if moved:
        for name in check.secrets or {}:
            if name in kept_options and name != moved and (name not in options or MASK in str(options[name])):
                raise FieldError(f"options.{name}", f"must be sent anew when {moved} changes")
            kept_options.pop(name, None)
    current = {name: getattr(check, name) for name in _PLAIN}
    merged = {**current, **{name: value for name, value in changes.items() if name in (*_PLAIN, "regions")}}
    if "interval_s" in changes and "timeout_s" not in changes:
        merged["timeout_s"] = min(check.timeout_s, max(merged["interval_s"], 1))
    return CheckSpec(**{**merged, "options": {**kept_options, **merge_masked(options, kept_options)}})


def _refuse_masks(options: Mapping[str, Any]) -> None:
    """Raise FieldError for a mask without a stored value: it would be stored as the secret itself."""
    for name, value in options.items():
        if MASK in (str(value.values()) if isinstance(value, dict) else str(value)):
            raise FieldError(f"options.{name}", "is masked, and nothing is kept that it could stand for: send it anew")


def _moved(check: Check, changes: Mapping[str, Any], kept: Mapping[str, Any], options: Mapping[str, Any]) -> str | None:
    """Return what in this change would send secrets elsewhere: the target's origin or an option's name; else None."""
    if _origin(changes.get("target", check.target)) != _origin(check.target):
        return "the target's origin"
    given = (name for name in KINDS[check.kind].routes if name in options and options[name] != MASK)
    return next((name for name in given if options[name] != kept.get(name, "")), None) if kept else None


_PLAIN = tuple(known.name for known in dataclasses.fields(CheckSpec) if known.name not in ("options", "regions"))
"""Settings that are a column of their own, of the same name and form."""


def _origin(target: str) -> tuple[str, str]:
    """Return scheme and authority of a URL (RFC 3986); any other target is an origin of its own."""
    scheme, separator, rest = target.partition("://")
    return (scheme, re.split(r"[/?#]", rest, maxsplit=1)[0].lower()) if separator else ("", target)


def validate_spec(
    spec: CheckSpec, *, policy: AddressPolicy | None = None, kept_region_ids: Sequence[int] | None = None
) -> CheckFields:
    """Validate a spec and return the columns of the check. Raises FieldError, with the errors of all fields.

    Without `regions`, `kept_region_ids` stay, even if disabled since; a passive check belongs to the core's region.
    """
    chosen_policy = policy or settings.ADDRESS_POLICY
    try:
        return _columns_of(spec, chosen_policy, kept_region_ids)
    except FieldError as error:
        error.others = _further_errors(spec, error, chosen_policy, kept_region_ids)
        raise


def _further_errors(
    spec: CheckSpec, first: FieldError, policy: AddressPolicy, kept_region_ids: Sequence[int] | None
) -> list[FieldError]:
    """Return the errors that remain when each refused field has its default instead."""
    found = [first]
    rest = _with_default(spec, first.field)
    while rest is not None and len(found) < _MOST_ERRORS:
        try:
            _columns_of(rest, policy, kept_region_ids)
        except FieldError as error:
            found.append(error)
            is_repeated = error.field in {known.field for known in found[:-1]}
            rest = None if is_repeated else _with_default(rest, error.field)
        else:
            break
    return list({error.field: error for error in found[1:] if error.field != first.field}.values())


_MOST_ERRORS = 20


def _with_default(spec: CheckSpec, field: str) -> CheckSpec | None:
    """Return the spec with a valid value in this field; None if there is none: nothing is valid without a kind."""
    if field.startswith("options."):
        option = field.split(".")[1]
        return replace(spec, options={name: value for name, value in spec.options.items() if name != option})
    if field == "target":
        return replace(spec, target=KINDS[spec.kind].example[0])
    defaults = {known.name: known.default for known in dataclasses.fields(spec) if known.default is not dataclasses.MISSING}
    return replace(spec, **{field: defaults[field]}) if field in defaults else None


def _columns_of(spec: CheckSpec, policy: AddressPolicy, kept_region_ids: Sequence[int] | None) -> CheckFields:
    """Return the columns of a check. Raises FieldError for the first field that is invalid."""
    kind = KINDS.get(spec.kind)
    if kind is None:
        raise FieldError("kind", f"is not one of {', '.join(sorted(KINDS))}")
    if not MIN_INTERVAL_S <= spec.interval_s <= MAX_INTERVAL_S:
        raise FieldError("interval_s", f"must be from {MIN_INTERVAL_S} to {MAX_INTERVAL_S}")
    timeout_s = min(10, spec.interval_s) if spec.timeout_s is None else spec.timeout_s
    if not 1 <= timeout_s <= min(spec.interval_s, MAX_TIMEOUT_S):
        raise FieldError("timeout_s", f"must be from 1 to {min(spec.interval_s, MAX_TIMEOUT_S)}, and not above the interval")
    for name, value in (("fail_after", spec.fail_after), ("recover_after", spec.recover_after)):
        if not 1 <= value <= 100:
            raise FieldError(name, "must be from 1 to 100")
    if not 0 <= spec.retries <= settings.MAX_RETRIES:
        raise FieldError("retries", f"must be from 0 to {settings.MAX_RETRIES}")
    _refuse_masks(spec.options)
    options = _parsed_options(kind, spec)
    for field, host in {kind.host_field: options.host, **kind.further_hosts(options)}.items():
        address = literal(host)
        if address is not None and not policy.permits(address):
            raise FieldError(field, f"{address} is an address that this deployment does not probe")
    stored = options.stored()
    secrets = {name: stored.pop(name) for name in kind.secret_options if stored.get(name)}
    stored = {name: value for name, value in stored.items() if name not in kind.secret_options}
    keeps = spec.regions is None and kept_region_ids is not None
    if kind.is_passive:
        region_ids = [ensure_core_region().pk]
    else:
        region_ids = list(kept_region_ids or ()) if keeps else _region_ids(spec.regions)
    if spec.quorum is not None and not 1 <= spec.quorum <= len(region_ids):
        raise FieldError("quorum", f"must be from 1 to the number of regions, {len(region_ids)}")
    return CheckFields(
        name=spec.name,
        kind=spec.kind,
        target=spec.target,
        options=stored,
        secrets=secrets or None,
        interval_s=spec.interval_s,
        timeout_s=timeout_s,
        degraded_ms=spec.degraded_ms,
        retries=spec.retries,
        fail_after=spec.fail_after,
        recover_after=spec.recover_after,
        quorum=spec.quorum,
        region_ids=region_ids,
    )


def _parsed_options(kind: Kind, spec: CheckSpec) -> Any:
    """Return the options as the kind parses them, with the check's own `degraded_ms`. Raises FieldError."""
    for name in ("degraded_ms", "retries"):
        if name in spec.options:
            raise FieldError(f"options.{name}", f"is a field of the check itself: {name}")
    try:
        return kind.parse(spec.target, probe_options(spec.options, spec.degraded_ms))
    except OptionError as error:
        field = "degraded_ms" if error.field == "options.degraded_ms" else error.field
        raise FieldError(field, error.message) from error


def _region_ids(slugs: tuple[str, ...] | None) -> list[int]:
    known = dict(Region.objects.probing().values_list("slug", "id"))
    if slugs is None:
        if not known:
            raise FieldError("regions", "there is no enabled region yet: `manage.py region add SLUG` makes one")
        return sorted(known.values())
    if not slugs:
        raise FieldError("regions", "must name at least one region")
    for slug in slugs:
        if slug not in known:
            raise FieldError("regions", f"{slug!r} is not an enabled region")
    return sorted({known[slug] for slug in slugs})


def masked_options(check: Check) -> dict[str, Any]:
    """Return the options for display: every value inside a secret option is masked, names stay readable."""
    secret = {
        name: dict.fromkeys(value, MASK) if isinstance(value, dict) else MASK for name, value in (check.secrets or {}).items()
    }
    return {**check.options, **secret}


def audited_fields(check: Check) -> dict[str, Any]:
    """Return the fields of a check for the audit log; secrets are masked."""
    plain = {name: getattr(check, name) for name in _PLAIN}
    return {**plain, "region_ids": list(check.region_ids), "resource": str(check.resource_id), "options": masked_options(check)}
