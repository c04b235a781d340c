"""Canaries: hosts that the operator knows to be up, used to check whether this worker's own network works.

A failing run is reported as unknown if no canary can be reached. The canary check must begin after the run did;
concurrent runs share one check.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from apps.net.address_policy import AddressPolicy
from apps.net.errors import NetError
from apps.net.network import Network
from apps.probes.contract import OptionError
from apps.probes.targets import authority_of, endpoint

_WAIT_S = 2.0
_PORTS = {"https": 443, "http": 80}


class Canaries:
    """The canaries of one worker. `targets` are `host:port` or URLs that accept a TCP connection.

    Without targets the network always counts as working.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._places = {target: _place(target) for target in targets}
        self._network: Network | None = None
        self._look: asyncio.Task[None] | None = None
        self._began = 0.0
        self.seen: dict[str, bool] = {}
        """By target, whether the last check reached it."""
        self._failed = -math.inf
        """When a check last reached no canary, on the loop's clock."""

    async def reach_any(self, *, since: float) -> bool:
        """Tell whether a check begun at or after `since` (the loop's clock) reached a canary; check if necessary."""
        while self._places and (not self.seen or self._began < since):
            if self._look is None or self._look.done():
                self._began = asyncio.get_running_loop().time()
                self._look = asyncio.get_running_loop().create_task(self._look_at_all())
            await asyncio.shield(self._look)
        return not self._places or any(self.seen.values())

    async def were_reachable(self, *, since: float) -> bool:
        """Check now; tell whether this check succeeded and none has failed since `since` (the loop's clock).

        Earlier failures count, because the network may have recovered after the run failed.
        """
        return await self.reach_any(since=asyncio.get_running_loop().time()) and self._failed < since

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        if self._network is not None:
            await self._network.close()

    async def _look_at_all(self) -> None:
        # The operator chose the canaries, so the address policy for tenants does not apply.
        self._network = network = self._network or Network(AddressPolicy(private=True))
        answers = await asyncio.gather(*(_accepts(network, *place) for place in self._places.values()))
        self.seen = dict(zip(self._places, answers, strict=True))
        if not any(answers):
            self._failed = asyncio.get_running_loop().time()


def _place(target: str) -> tuple[str, int]:
    """Return host and port of a canary. Raises ValueError."""
    scheme, authority = authority_of(target)
    try:
        return endpoint(authority, _PORTS.get(scheme))
    except OptionError as error:
        raise ValueError(f"{target!r} is no canary: {error.message}") from error


async def _accepts(network: Network, host: str, port: int) -> bool:
    """Tell whether a TCP connection succeeds within two seconds."""
    try:
        connection = await network.tcp.dial(host, port, "auto", asyncio.get_running_loop().time() + _WAIT_S)
    except NetError:
        return False
    connection.sock.close()
    return True
