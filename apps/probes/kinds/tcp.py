"""`tcp`: a port accepts a connection.

Proves that name, network and listener work from the worker's region. Cannot prove that anything behind the listener works: a
kernel accepts for a process that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from apps.net.errors import BadHostError, NetError
from apps.net.guard import canonical_host
from apps.net.network import Network
from apps.probes import judge
from apps.probes.contract import IP_VERSION, Facts, Kind, OptionError, Outcome, RawOptions, stored_fields

FAMILIES = ("auto", "ipv4", "ipv6")


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    ip_version: Literal["auto", "ipv4", "ipv6"]
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "port", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """The target is `host:port`, an IPv6 address in brackets. Raises OptionError naming `target` or the option."""
    host, colon, port = target.rpartition(":")
    if not colon or not host or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise OptionError("target", "must be host:port, with an IPv6 address in brackets")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise OptionError("target", "must end in a port from 1 to 65535")
    try:
        canonical = canonical_host(host)
    except BadHostError as error:
        raise OptionError("target", str(error)) from error
    fields = RawOptions(raw)
    version = fields.choice("ip_version", "auto", FAMILIES)
    degraded_ms = fields.whole("degraded_ms", None, least=1, most=600_000)
    fields.end()
    return Options(canonical, int(port), "ipv4" if version == "ipv4" else "ipv6" if version == "ipv6" else "auto", degraded_ms)


async def run(options: Options, deadline: float, network: Network) -> Outcome:
    started = asyncio.get_running_loop().time()
    try:
        connection = await network.tcp.dial(options.host, options.port, options.ip_version, deadline)
    except NetError as error:
        return Outcome.failed(error)
    connection.sock.close()
    latency_ms = (asyncio.get_running_loop().time() - started) * 1000
    phases = {"dns": round(connection.dns_ms, 2), "connect": round(connection.connect_ms, 2)}
    facts: Facts = {"address": connection.address, "phases_ms": phases}
    return judge.first(judge.slow(latency_ms, options.degraded_ms, facts), facts=facts)


def propose(typed: str) -> str | None:
    """The host and port of whatever was typed; a URL without a port means its scheme's."""
    scheme, separator, rest = typed.partition("://")
    authority = (rest if separator else typed).partition("/")[0].rpartition("@")[2]
    host, colon, port = authority.rpartition(":")
    if not colon or (port and not port.isdigit()):
        known = {"https": "443", "http": "80", "": "443"}.get(scheme.lower() if separator else "")
        if known is None or authority.count(":") > 1:
            return None
        host, port = authority, known
    target = f"{host}:{port}"
    try:
        parse(target, {})
    except OptionError:
        return None
    return target


KIND = Kind(
    name="tcp",
    title="TCP port",
    parse=parse,
    run=run,
    asks="Host and port",
    proves="The port accepts a connection: name, network and listener work. What stands behind the listener is not asked.",
    propose=propose,
    option_fields=(IP_VERSION,),
)
