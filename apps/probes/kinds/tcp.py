"""`tcp`: a port accepts a connection and, with a dialogue, answers as expected.

Proves that name, network and listener work from the worker's region; with a dialogue also that the process behind the
listener answers. Cannot prove that without one: the kernel accepts connections even for a process that hangs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.net.errors import NetError
from apps.net.hosts import bracketed, host_port
from apps.net.resolver import Family
from apps.net.stream import Stream
from apps.probes import conditions, judge, patterns
from apps.probes.contract import (
    IP_VERSION,
    Facts,
    Kind,
    OptionError,
    OptionField,
    Outcome,
    ProbeContext,
    RawOptions,
    stored_fields,
)
from apps.probes.targets import authority_of, endpoint
from apps.probes.trust import TRUST_FIELDS, TrustOptions, secured

_STEPS = ("send", "expect", "starttls")
_MOST_STEPS = 20
_HEARD_BYTES = 65_536
_MOST_STEPS = 30_000_000
_SHOWN = 300
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([rnt0\\]))")
_ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


ASSERTABLE_FACTS = ("latency", "dns", "connect", "tls", "address", "banner", "protocol", "certificate.days", "certificate.issuer")


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    dialogue: tuple[str, ...]
    use_tls: bool
    assertions: tuple[str, ...]
    tls: TrustOptions
    ip_version: Family
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "port", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate; the target is `host:port`, IPv6 in brackets. Raises OptionError for `target` or an option."""
    host, port = endpoint(target)
    fields = RawOptions(raw)
    options = Options(
        host=host,
        port=port,
        dialogue=fields.texts("dialogue", most=_MOST_STEPS, limit=2_000),
        use_tls=fields.flag("use_tls", False),
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
        tls=TrustOptions.read(fields),
        ip_version=fields.family(),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    for step in options.dialogue:
        _ensure_step(step)
    fields.end()
    return options


def _ensure_step(step: str) -> None:
    """Raise OptionError unless the step of the dialogue is valid."""
    verb, _, rest = step.partition(" ")
    if verb not in _STEPS or bool(rest) == (verb == "starttls"):
        raise OptionError("options.dialogue", f"{step[:60]!r} is none of: send TEXT, expect PATTERN, starttls")
    if verb == "expect":
        patterns.check("options.dialogue", rest)


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    started = asyncio.get_running_loop().time()
    try:
        connection = await context.network.tcp.dial(options.host, options.port, options.ip_version, deadline)
    except NetError as error:
        return Outcome.failed(error)
    facts: Facts = connection.facts()
    stream = Stream(connection.sock, host_port(connection.address, options.port))
    ends: Outcome | None = None
    try:
        if options.use_tls:
            _, ends = await secured(stream, options.host, options.tls, context, deadline, facts)
        conversation = _Conversation(stream, deadline, facts)
        for step in options.dialogue:
            verb, _, rest = step.partition(" ")
            if verb == "send":
                await stream.send(_unescaped(rest), deadline)
            elif verb == "expect":
                await conversation.expect(rest)
            else:
                _, ends = await secured(stream, options.host, options.tls, context, deadline, facts)
    except NetError as error:
        return Outcome.failed(error, facts)
    finally:
        stream.close()
    latency_ms = (asyncio.get_running_loop().time() - started) * 1000
    return judge.first(
        *judge.failed(options.assertions, latency_ms, facts, context.now_ms),
        ends,
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )


class _Conversation:
    """Matches received data against patterns; keeps the data that has not been matched."""

    def __init__(self, stream: Stream, until: float, facts: Facts) -> None:
        self._stream = stream
        self._until = until
        self._facts = facts
        self._heard = b""
        self._steps = 0
        """Steps that RE2 may have taken so far in all searches: a server that drips has everything searched each time."""

    def _search(self, wanted: Any) -> Any:
        self._steps += len(self._heard) * wanted.programsize
        return wanted.search(self._heard)

    async def expect(self, pattern: str) -> None:
        """Read until the pattern matches; data up to the end of the match is consumed. Raises NetError."""
        wanted = patterns.compiled_for_bytes(pattern)
        while not (found := self._search(wanted)):
            if self._steps > _MOST_STEPS:
                raise self._mismatch(pattern, "before searching for it took too long")
            if len(self._heard) > _HEARD_BYTES:
                raise self._mismatch(pattern, f"within {_HEARD_BYTES:,} bytes")
            try:
                data = await self._stream.receive(self._until)
            except NetError as error:
                if error.code == "read_timeout" and self._heard:
                    raise self._mismatch(pattern, "in time") from error
                raise
            if not data and self._heard:
                raise self._mismatch(pattern, "before the connection was closed")
            if not data:
                raise NetError("connection_closed", "the server closed the connection without a word")
            self._heard += data
            self._facts["banner"] = self._shown()
        self._heard = self._heard[found.end() :]

    def _mismatch(self, pattern: str, when: str) -> NetError:
        return NetError("banner_mismatch", f"answered {self._shown()!r}, expected {pattern!r} {when}")

    def _shown(self) -> str:
        return self._heard[: 4 * _SHOWN].decode("utf-8", "replace").replace("\x00", "�")[:_SHOWN]


def _unescaped(text: str) -> bytes:
    """Return the bytes for a text with the escapes `\\r`, `\\n`, `\\t`, `\\0`, `\\\\` and `\\xHH`."""
    parts, at = [], 0
    for found in _ESCAPE.finditer(text):
        parts.append(text[at : found.start()].encode())
        parts.append(bytes.fromhex(found[1]) if found[1] else _ESCAPES[found[2]].encode())
        at = found.end()
    return b"".join([*parts, text[at:].encode()])


def propose(typed: str) -> str | None:
    """Derive host and port from user input; without a port the default of the URL's scheme, else 443."""
    scheme, authority = authority_of(typed)
    host, colon, port = authority.rpartition(":")
    if not colon or (port and not port.isdigit()):
        known = {"https": "443", "http": "80", "": "443"}.get(scheme)
        if known is None or authority.count(":") > 1:
            return None
        host, port = authority, known
    target = f"{bracketed(host)}:{port}"
    try:
        endpoint(target)
    except OptionError:
        return None
    return target


FIELDS = (
    OptionField(
        "dialogue", "Dialogue", "lines",
        r"A step to a line: send TEXT (\r\n ends a line), expect PATTERN (RE2 over bytes: \x00, \xff), starttls. "
        "Members can read it: no passwords.",
    ),
    OptionField("use_tls", "TLS from the first byte", "flag"),
    conditions.option_field(ASSERTABLE_FACTS, "[connect] < 100 ms"),
    *TRUST_FIELDS,
    IP_VERSION,
)  # fmt: skip

KIND = Kind(
    name="tcp",
    title="TCP port",
    parse=parse,
    run=run,
    asks="Host and port",
    proves="The port accepts a connection and, with a dialogue, answers as it should.",
    propose=propose,
    example=("redis.example:6379", {"dialogue": ["send PING\\r\\n", "expect ^(\\+PONG|-NOAUTH)"]}),
    option_fields=FIELDS,
    secret_options=("client_key",),
)
