"""Resolve names to addresses, anew for every run: first the hosts file, then DNS by c-ares.

Short names are completed by the search list of resolv.conf. c-ares caches answers for their TTL and its `query_dns`
ignores the hosts file. Therefore we read that file, and replace the channel, and with it the cache, every second (a
channel per lookup would cost 0.5 ms).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Literal

import aiodns
from pycares import errno as ares

from apps.net.errors import NetError, length_words
from apps.net.hosts import literal
from apps.net.resolv_conf import ResolvConfFile

Family = Literal["auto", "ipv4", "ipv6"]

_CHANNEL_LIFE_S = 1.0
_TRY_S, _TRIES = 2.0, 2
_GRACE_S = 0.05
_RECORDS: dict[Family, tuple[Literal["A", "AAAA"], ...]] = {
    # IPv4 first: many workers have IPv6 but no route, and an address that drops packets would use up the deadline.
    "auto": ("A", "AAAA"),
    "ipv4": ("A",),
    "ipv6": ("AAAA",),
}
_CODES = {
    ares.ARES_ENOTFOUND: "dns_nxdomain",
    ares.ARES_ENODATA: "dns_empty",
    ares.ARES_ESERVFAIL: "dns_servfail",
    ares.ARES_EREFUSED: "dns_refused",
    ares.ARES_ETIMEOUT: "dns_timeout",
    ares.ARES_EBADRESP: "dns_malformed",
    ares.ARES_EFORMERR: "dns_malformed",
    # No name server can be reached: a fault of this worker's network, not of the target.
    ares.ARES_ECONNREFUSED: "internal",
}


_NEXT_NAME = frozenset({"dns_nxdomain", "dns_empty", "dns_servfail"})
"""Codes after which the next name of the search list is tried, like res_search(3)."""


class HostsFile:
    """The names in /etc/hosts, which is parsed again whenever it changes."""

    def __init__(self, path: str = "/etc/hosts") -> None:
        self._path = path
        self._read_at: int | None = None
        self._names: dict[str, list[str]] = {}

    def lookup(self, name: str) -> Sequence[str]:
        """Return the addresses of a canonical name; none if it is not listed."""
        try:
            changed_at = os.stat(self._path).st_mtime_ns
        except OSError:
            return ()
        if changed_at != self._read_at:
            self._names = self._parse()
            self._read_at = changed_at
        return self._names.get(name, ())

    def _parse(self) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        with open(self._path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                fields = line.partition("#")[0].split()
                address = literal(fields[0].partition("%")[0]) if fields else None
                if address is None:
                    continue
                for name in fields[1:]:
                    known = names.setdefault(name.lower().removesuffix("."), [])
                    if address not in known:
                        known.append(address)
        return names


class Resolver:
    """Resolves names for one event loop. Must be closed before the loop ends."""

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        hosts: HostsFile | None = None,
        resolv_conf: ResolvConfFile | None = None,
    ) -> None:
        self._nameservers = nameservers
        self._hosts = hosts or HostsFile()
        self.resolv_conf = resolv_conf or ResolvConfFile()
        self._channel: aiodns.DNSResolver | None = None
        self._born = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    async def resolve(self, host: str, family: Family, timeout_s: float) -> list[str]:
        """Return all addresses of `host`, in the order to try them: IPv4 first. Raises NetError."""
        address = literal(host)
        if address is not None:
            return [address]
        wanted = _RECORDS[family]
        listed = [a for a in self._hosts.lookup(host) if ("AAAA" if ":" in a else "A") in wanted]
        if listed:
            return sorted(listed, key=lambda a: ":" in a)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._search(host, wanted)
        except TimeoutError:
            raise NetError("dns_timeout", f"no answer for {host} within {length_words(timeout_s)}") from None

    async def _search(self, host: str, records: Sequence[Literal["A", "AAAA"]]) -> list[str]:
        """Try the names of the search list until one has an address.

        If none has, raise the NetError for the name as it was given.
        """
        failures: dict[str, NetError] = {}
        for name in self.resolv_conf.current().candidates(host):
            answers = await _ask(self._fresh_channel(), name, records)
            addresses = [a for answer in answers if not isinstance(answer, BaseException) for a in _addresses(answer)]
            if addresses:
                return addresses
            failures[name] = _failure(host, [answer for answer in answers if isinstance(answer, BaseException)])
            if failures[name].code not in _NEXT_NAME:
                raise failures[name]
        raise failures[host]

    async def close(self) -> None:
        channels = [self._channel.close()] if self._channel else []
        self._channel = None
        await asyncio.gather(*channels, *self._closing)

    def _fresh_channel(self) -> aiodns.DNSResolver:
        """Return the current channel; replace it if it is more than a second old."""
        loop = asyncio.get_running_loop()
        if self._channel is not None and loop.time() - self._born < _CHANNEL_LIFE_S:
            return self._channel
        if self._channel is not None:
            task = loop.create_task(self._retire(self._channel))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel = aiodns.DNSResolver(nameservers=self._nameservers, timeout=_TRY_S, tries=_TRIES)
        self._born = loop.time()
        return self._channel

    async def _retire(self, channel: aiodns.DNSResolver) -> None:
        # Closing cancels pending queries, so wait until the slowest one has used up its attempts.
        await asyncio.sleep(_TRY_S * (_TRIES + 1))
        await channel.close()


async def _ask(channel: aiodns.DNSResolver, host: str, records: Sequence[Literal["A", "AAAA"]]) -> list[Any]:
    """Return the answers and errors of all record types.

    As soon as one type has addresses, the others get only 50 ms more (RFC 8305, section 3).
    """
    queries = [asyncio.ensure_future(channel.query_dns(host, record)) for record in records]
    try:
        done, waiting = await asyncio.wait(queries, return_when=asyncio.FIRST_COMPLETED)
        found = any(query.exception() is None and _addresses(query.result()) for query in done)
        if waiting:
            done |= (await asyncio.wait(waiting, timeout=_GRACE_S if found else None))[0]
        return [query.exception() or query.result() for query in queries if query in done]
    finally:
        for query in queries:
            query.cancel()


def _addresses(answer: Any) -> list[str]:
    return [record.data.addr for record in answer.answer if hasattr(record.data, "addr")]


def _failure(host: str, errors: Sequence[BaseException]) -> NetError:
    for error in errors:
        if not isinstance(error, aiodns.error.DNSError):
            raise error
    # "No data" only means that one record type is missing, so any other error is more informative.
    codes = [_CODES.get(error.args[0], "dns_malformed") for error in errors]
    code = next((code for code in codes if code != "dns_empty"), "dns_empty")
    words = {
        "dns_nxdomain": f"the name {host} does not exist",
        "dns_empty": f"the name {host} has no address",
        "dns_servfail": f"the name server failed on {host} (SERVFAIL)",
        "dns_refused": f"the name server refused to answer for {host}",
        "dns_timeout": f"no name server answered for {host}",
        "dns_malformed": f"the answer for {host} could not be read",
        "internal": "the probe worker reaches no name server",
    }
    return NetError(code, words[code])
