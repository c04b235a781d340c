"""What a kind of check is. Adding one is a module in `kinds/` and a line in `registry`."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from apps.net.errors import BadHostError, NetError
from apps.net.guard import canonical_host
from apps.net.network import Network
from apps.net.resolver import Family
from apps.probes.reasons import MEANINGS, Reason, Verdict

Facts = dict[str, Any]


class OptionError(ValueError):
    """An option or target that cannot be used; `field` is its name, dotted for a part (`options.method`)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True)
class Outcome:
    """What one run came to: the verdict, why it is not up, and everything that was seen."""

    verdict: Verdict
    reason: Reason | None = None
    message: str = ""
    facts: Facts = field(default_factory=dict)
    latency_ms: float | None = None
    """Where it is not the time that the run took."""

    @classmethod
    def because(cls, reason: Reason, message: str, facts: Facts | None = None) -> Outcome:
        """The reason's default verdict."""
        return cls(MEANINGS[reason].verdict, reason, message, facts or {})

    def judged(self, verdict: str) -> Outcome:
        """The same with another verdict than the reason's own."""
        return dataclasses.replace(self, verdict=Verdict(verdict))

    def seeing(self, facts: Facts) -> Outcome:
        return dataclasses.replace(self, facts=facts)

    @classmethod
    def failed(cls, error: NetError, facts: Facts | None = None) -> Outcome:
        return cls.because(Reason(error.code), error.message, facts)


class Options(Protocol):
    """A kind's frozen options, target included."""

    @property
    def host(self) -> str:
        """The host that the target names, canonical: what the address policy judges when a check is saved."""
        ...

    @property
    def degraded_ms(self) -> int | None: ...

    def stored(self) -> dict[str, Any]:
        """Every option by name, as `parse` takes it: what is kept, sent and shown."""
        ...


class Rhythm(Protocol):
    """Of a passive kind's options: when it wants to hear something. Epoch and plain milliseconds."""

    def expected_after(self, moment_ms: int, interval_ms: int) -> int:
        """When something is expected that was last heard at a moment; `interval_ms` is the check's."""
        ...

    @property
    def grace_ms(self) -> int:
        """So much later it is missing."""
        ...

    @property
    def max_runtime_ms(self) -> int:
        """A run that began may take so long."""
        ...


@dataclass(frozen=True)
class ProbeContext:
    """What a run is given beside its options."""

    network: Network
    now_ms: int
    """The core's time at the start: what certificates are judged by."""
    baseline: Mapping[str, Any] = field(default_factory=dict)
    """What the last run of this region reported as its fact `baseline`; empty when there is none."""


@dataclass(frozen=True)
class OptionField:
    """How a form asks for an option. `parse` alone judges what is given."""

    name: str
    label: str
    shape: Literal["text", "long", "whole", "flag", "choice", "list", "lines", "headers"] = "text"
    """`list`: texts by comma. `lines`: texts, one to a line. `headers`: lines of `Name: value`."""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    group: str = ""
    """Where a form shows it; those without one come first."""


def grouped(group: str, *fields: OptionField) -> tuple[OptionField, ...]:
    return tuple(dataclasses.replace(described, group=group) for described in fields)


def notice_change(what: str) -> OptionField:
    """Of kinds that report a fact `baseline` and compare it with the context's."""
    return OptionField("notice_change", f"Tell when {what}", "flag", "Once, as degraded; the new is what is compared with then.")


IP_VERSION = OptionField(
    "ip_version", "IP version", "choice", choices=(("auto", "Either"), ("ipv4", "IPv4 only"), ("ipv6", "IPv6 only"))
)
"""Of every kind that connects by name."""


@dataclass(frozen=True)
class Kind:
    """One way of looking at a target. `run` never raises for what the target does; the runner owns the rest."""

    name: str
    title: str
    parse: Callable[[str, Mapping[str, Any]], Any]
    """(target, raw options) to frozen Options. Raises OptionError."""
    run: Callable[[Any, float, ProbeContext], Awaitable[Outcome]] | None
    """(options, deadline on the loop's clock, context) to Outcome; None of a passive kind, whose options are a `Rhythm`."""
    asks: str
    """What a person types as the target, in words: its label in forms."""
    proves: str
    """One sentence for the form."""
    propose: Callable[[str], str | None]
    """From whatever a person typed (a URL, a host, host:port) the target of this kind, or None when it has none there."""
    example: tuple[str, Mapping[str, Any]] = ("", {})
    """A target and a few options, as somebody might want them: for docs/probes.md and the form."""
    option_fields: tuple[OptionField, ...] = ()
    routes: tuple[str, ...] = ()
    """Options that say where secrets go: they do not follow a change of these, as of the target."""
    secret_options: tuple[str, ...] = ()
    """Options that are encrypted at rest and sealed on the wire whenever they are not empty."""

    @property
    def is_passive(self) -> bool:
        """Nothing is sent: it waits to hear something, and is judged when it did not."""
        return self.run is None


class RawOptions:
    """Reads options by type; what nobody asked for is refused at the end. Every error names its field."""

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
        """A host name or address, or nothing."""
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
        """A list of texts."""
        value = self._raw.pop(name, [])
        if not isinstance(value, (list, tuple)) or len(value) > most or not all(isinstance(item, str) for item in value):
            raise OptionError(f"options.{name}", f"must be a list of at most {most} texts")
        if any(len(item) > limit or "\x00" in item or not _is_encodable(item) for item in value):
            raise OptionError(f"options.{name}", f"holds a text that is longer than {limit} characters or cannot be sent")
        return tuple(value)

    def take(self, name: str, default: Any) -> Any:
        return self._raw.pop(name, default)

    def end(self) -> None:
        for name in self._raw:
            raise OptionError(f"options.{name}", "is not an option of this kind")


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def stored_fields(options: Any, *, without: tuple[str, ...]) -> dict[str, Any]:
    """A frozen options value as plain JSON, those of TLS among the others, less what the target already says."""
    found: dict[str, Any] = {}
    for name, value in dataclasses.asdict(options).items():
        if name not in without:
            found |= value if name == "tls" else {name: list(value) if isinstance(value, tuple) else value}
    return found
