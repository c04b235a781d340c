"""The interface of a kind of check. A new kind is a module in `kinds/` and a line in `registry`."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from apps.net.errors import BadHostError, NetError
from apps.net.hosts import canonical_host
from apps.net.network import Network
from apps.net.resolver import Family
from apps.probes.reasons import MEANINGS, Reason, Verdict

Facts = dict[str, Any]


class OptionError(ValueError):
    """An invalid option or target; `field` is its name, with a dotted path for options (`options.method`)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True)
class Outcome:
    """The result of one run: the verdict, the reason if it is not up, and the facts that were observed."""

    verdict: Verdict
    reason: Reason | None = None
    message: str = ""
    facts: Facts = field(default_factory=dict)
    latency_ms: float | None = None
    """The latency to record, if it is not the duration of the run."""

    @classmethod
    def because(cls, reason: Reason, message: str, facts: Facts | None = None) -> Outcome:
        """Create an outcome with the default verdict of the reason."""
        return cls(MEANINGS[reason].verdict, reason, message, facts or {})

    def judged(self, verdict: str) -> Outcome:
        """Return a copy with another verdict than the reason's default."""
        return dataclasses.replace(self, verdict=Verdict(verdict))

    def seeing(self, facts: Facts) -> Outcome:
        """Return a copy with these facts."""
        return dataclasses.replace(self, facts=facts)

    @classmethod
    def failed(cls, error: NetError, facts: Facts | None = None) -> Outcome:
        """Create an outcome from a network error, whose code is a reason code."""
        return cls.because(Reason(error.code), error.message, facts)


class Options(Protocol):
    """The parsed, immutable options of a kind, including the target."""

    @property
    def host(self) -> str:
        """The canonical host that a run connects to; the address policy is applied to it when a check is saved."""
        ...

    @property
    def degraded_ms(self) -> int | None: ...

    def stored(self) -> dict[str, Any]:
        """Return all options by name in the form that `parse` accepts; so they are stored, sent and displayed."""
        ...


class PassiveSchedule(Protocol):
    """The schedule in the options of a passive kind. Moments are epoch milliseconds, durations milliseconds."""

    def expected_after(self, moment_ms: int, interval_ms: int) -> int:
        """Return when the next signal is expected after one at `moment_ms`; `interval_ms` is the check's interval."""
        ...

    @property
    def grace_ms(self) -> int:
        """How long after the expected time a signal counts as missed."""
        ...

    @property
    def max_runtime_ms(self) -> int:
        """How long a job may take from its start signal to its end signal."""
        ...


@dataclass(frozen=True)
class ProbeContext:
    """What a run receives besides its options."""

    network: Network
    now_ms: int
    """The core's time at the start of the run, used to judge the validity of certificates."""
    baseline: Mapping[str, Any] = field(default_factory=dict)
    """The fact `baseline` that the last run in this region reported; empty if there is none."""
    tenant: str = ""
    """Whose job it is; tenants take turns where something is scarce."""


@dataclass(frozen=True)
class OptionField:
    """The form field of an option. Validation is done by `parse` alone."""

    name: str
    label: str
    shape: Literal["text", "long", "whole", "flag", "choice", "list", "lines", "headers"] = "text"
    """`list`: texts separated by commas. `lines`: one text per line. `headers`: lines of the form `Name: value`."""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    shown_for: tuple[str, ...] = ()
    """(name of a choice option, values…): the form shows this field only while that option has one of the values."""
    group: str = ""
    """The section of the form; fields without one come first."""
    form_field: str = ""
    """The field of the form that sets this option, where it has none of its own."""
    facts: tuple[str, ...] = ()
    """Of assertions: the facts that they may name, from which the form composes lines. One that ends in a dot is a prefix."""


def grouped(group: str, *fields: OptionField) -> tuple[OptionField, ...]:
    """Return the fields with their section of the form set."""
    return tuple(dataclasses.replace(described, group=group) for described in fields)


def notice_change(what: str) -> OptionField:
    """Return the field of the option `notice_change`, for kinds that report a fact `baseline` and compare it."""
    words = "Reported once, as degraded; later runs are compared with the new value."
    return OptionField("notice_change", f"Tell when {what}", "flag", words)


IP_VERSION = OptionField(
    "ip_version", "IP version", "choice", choices=(("auto", "Either"), ("ipv4", "IPv4 only"), ("ipv6", "IPv6 only"))
)
"""For every kind that connects to a host by name."""


@dataclass(frozen=True)
class Kind:
    """One way to probe a target. `run` does not raise for what the target does; `runner` handles everything else."""

    name: str
    title: str
    parse: Callable[[str, Mapping[str, Any]], Any]
    """(target, raw options) to immutable Options. Raises OptionError."""
    run: Callable[[Any, float, ProbeContext], Awaitable[Outcome]] | None
    """(options, deadline on the loop's clock, context) to Outcome; None if passive: then the options are a `PassiveSchedule`."""
    asks: str
    """The label of the target in forms."""
    proves: str
    """One sentence for the form that says what the kind proves."""
    propose: Callable[[str], str | None]
    """Derive a target of this kind from user input (a URL, a host, host:port); None if that is not possible."""
    example: tuple[str, Mapping[str, Any]] = ("", {})
    """A typical target with some options, for docs/probes.md and the form."""
    option_fields: tuple[OptionField, ...] = ()
    further_hosts: Callable[[Any], Mapping[str, str]] = lambda _options: {}
    """Hosts besides the target that a run connects to, by the field that names them. The address policy is applied to all."""
    host_field: str = "target"
    """The field that `Options.host` comes from."""
    routes: tuple[str, ...] = ()
    """Options that determine where secrets are sent. If one changes, the secrets must be entered again."""
    secret_options: tuple[str, ...] = ()
    """Options that are encrypted at rest and sealed on the wire unless they are empty."""

    @property
    def is_passive(self) -> bool:
        """Whether nothing is sent: the check waits for pings and is down if one is missing."""
        return self.run is None


class RawOptions:
    """Reads raw options by type and removes them; `end` rejects those that are left. Raises OptionError."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = dict(raw)

    def text(self, name: str, default: str = "", *, limit: int) -> str:
        value = self._raw.pop(name, default)
        if not isinstance(value, str):
            raise OptionError(f"options.{name}", "must be a text")
        if len(value) > limit:
            raise OptionError(f"options.{name}", f"is longer than {limit} characters")
        if "\x00" in value or not _is_encodable(value):
            raise OptionError(f"options.{name}", "holds characters that cannot be sent")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self._raw.pop(name, default)
        if value not in allowed:
            raise OptionError(f"options.{name}", f"must be one of {', '.join(allowed)}")
        return str(value)

    def family(self) -> Family:
        version = self.choice("ip_version", "auto", ("auto", "ipv4", "ipv6"))
        return "ipv4" if version == "ipv4" else "ipv6" if version == "ipv6" else "auto"

    def host(self, name: str) -> str:
        """Return a canonical host name or address, or an empty string."""
        given = self.text(name, limit=253)
        try:
            return canonical_host(given) if given else ""
        except BadHostError as error:
            raise OptionError(f"options.{name}", str(error)) from error

    def flag(self, name: str, default: bool) -> bool:
        value = self._raw.pop(name, default)
        if not isinstance(value, bool):
            raise OptionError(f"options.{name}", "must be true or false")
        return value

    def whole(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        value = self._raw.pop(name, default)
        if value is None and default is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise OptionError(f"options.{name}", f"must be a whole number from {least} to {most}")
        return value

    def texts(self, name: str, *, most: int, limit: int) -> tuple[str, ...]:
        """Return a list of at most `most` texts of at most `limit` characters each."""
        value = self._raw.pop(name, [])
        if not isinstance(value, (list, tuple)) or len(value) > most or not all(isinstance(item, str) for item in value):
            raise OptionError(f"options.{name}", f"must be a list of at most {most} texts")
        if any(len(item) > limit or "\x00" in item or not _is_encodable(item) for item in value):
            raise OptionError(f"options.{name}", f"holds a text that is longer than {limit} characters or cannot be sent")
        return tuple(value)

    def take(self, name: str, default: Any) -> Any:
        """Return an option without validating it."""
        return self._raw.pop(name, default)

    def end(self) -> None:
        """Raise OptionError if unknown options are left."""
        for name in self._raw:
            raise OptionError(f"options.{name}", "is not an option of this kind")


def probe_options(options: Mapping[str, Any], degraded_ms: int | None) -> dict[str, Any]:
    """Return options as `Kind.parse` takes them, together with the check's own `degraded_ms` if it has one."""
    return dict(options) if degraded_ms is None else {**options, "degraded_ms": degraded_ms}


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def stored_fields(options: Any, *, without: tuple[str, ...]) -> dict[str, Any]:
    """Return an options object as plain JSON: the fields of `tls` flattened, those named in `without` left out."""
    found: dict[str, Any] = {}
    for name, value in dataclasses.asdict(options).items():
        if name not in without:
            found |= value if name == "tls" else {name: list(value) if isinstance(value, tuple) else value}
    return found
