"""The network clients that a probe is given, created and closed together."""

from __future__ import annotations

from pathlib import Path

from apps.net.address_policy import AddressPolicy
from apps.net.dns import DnsClient
from apps.net.http import HttpEngine
from apps.net.icmp import Pinger
from apps.net.resolver import Resolver
from apps.net.tcp import TcpDialer


class Network:
    """The network clients of one event loop, which share one address policy and one resolver."""

    def __init__(self, policy: AddressPolicy, *, resolver: Resolver | None = None, ca_file: str = "") -> None:
        self._resolver = resolver or Resolver()
        self.policy = policy
        self.roots = Path(ca_file).read_text() if ca_file else ""
        """The worker's own certificate authorities as PEM; empty means the public ones."""
        self.tcp = TcpDialer(policy, self._resolver)
        self.icmp = Pinger(policy, self._resolver)
        self.dns = DnsClient(policy, self._resolver, self.tcp, self.roots)
        self.http = HttpEngine(policy, self._resolver, self.dns, ca_file)

    async def close(self) -> None:
        await self.http.close()
        await self._resolver.close()
