"""`tcp`: a port accepts a connection.

Proves that name, network and listener work from the worker's region. Cannot prove that anything behind the listener works: a
kernel accepts for a process that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.net.errors import NetError
from apps.net.resolver import Family
from apps.probes import judge
from apps.probes.contract import IP_VERSION, Facts, Kind, OptionError, Outcome, RawOptions, Scene, stored_fields
from apps.probes.targets import endpoint


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    ip_version: Family
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "port", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """The target is `host:port`, an IPv6 address in brackets. Raises OptionError naming `target` or the option."""
    host, port = endpoint(target)
    fields = RawOptions(raw)
    options = Options(host, port, fields.family(), fields.whole("degraded_ms", None, least=1, most=600_000))
    fields.end()
    return options


async def run(options: Options, deadline: float, scene: Scene) -> Outcome:
    started = asyncio.get_running_loop().time()
    try:
        connection = await scene.network.tcp.dial(options.host, options.port, options.ip_version, deadline)
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
