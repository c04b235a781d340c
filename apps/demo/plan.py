"""The content of the demo as constants: its checks, how their endpoints behave, and generated past outages. No I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.clock import HOUR_MS


@dataclass(frozen=True)
class Part:
    """One endpoint of the demo and the check that probes it.

    `breaks`: seconds from the target's start to the first failure, its length, and the period at which it repeats.
    `base_ms`: the usual latency, also of the history. `trouble`: the number of outages within 90 days.
    """

    path: str
    resource: str
    name: str
    base_ms: int
    trouble: int = 1
    breaks: tuple[int, int, int] | None = None
    slow_ms: int = 0
    kind: str = "http"
    options: dict[str, Any] | None = None
    fail_after: int = 1
    degraded_ms: int | None = None
    group: str = ""
    is_paused: bool = False
    is_silent: bool = False
    """Its only region is disabled, so that it gets no results."""


PARTS = (
    Part("/shop", "Shop", "Shop", 46, trouble=2, group="Storefront", options={"keyword": "Welcome"}),
    Part("tcp", "Shop", "Shop port", 2, trouble=1, kind="tcp"),
    Part("/search", "Search", "Search", 88, trouble=5, group="Storefront", degraded_ms=400),
    Part("/checkout", "Checkout", "Checkout", 120, trouble=4, breaks=(25, 40, 240), group="Storefront"),
    Part("/payments", "Checkout", "Payments API", 210, trouble=3),
    Part("/login", "Login", "Login", 64, trouble=2, group="Accounts"),
    Part("/api/v2/status", "Public API", "Public API", 31, trouble=3, breaks=(100, 25, 420), group="Accounts"),
    Part("/images", "Image CDN", "Image CDN", 18, trouble=1, group="Storefront"),
    Part("/reports", "Reports", "Reports", 640, trouble=4, slow_ms=1_400, degraded_ms=1_000, group="Back office"),
    Part("/flaky", "Recommendations", "Recommendations", 150, trouble=6, breaks=(15, 12, 60), fail_after=3, group="Back office"),
    Part("/legacy", "Legacy import", "Legacy import", 95, trouble=8, breaks=(0, 10**9, 10**9), group="Back office"),
    Part("icmp", "Database", "Database host", 1, trouble=1, kind="icmp", options={"interval_ms": 50}, group="Back office"),
    Part("dns", "Mail", "Mail records", 3, trouble=1, kind="dns", options={"record_type": "MX", "notice_change": True}),
    Part("smtp", "Mail", "Mail server", 9, trouble=2, kind="smtp", options={"banner": "ESMTP"}, group="Accounts"),
    Part("tls", "Shop", "Shop certificate", 12, trouble=1, kind="tls"),
    Part("heartbeat", "Database", "Database dump", 1_900, trouble=3, kind="heartbeat", options={"grace_s": 60}),
    Part("/invoices", "Invoices", "Invoices", 73, is_paused=True),
    Part("/partner", "Partner feed", "Partner feed", 240, trouble=2, is_silent=True),
)


def is_broken(part: Part, elapsed_s: float) -> bool:
    """Return whether an endpoint fails `elapsed_s` seconds after the target's start."""
    if part.breaks is None or elapsed_s < part.breaks[0]:
        return False
    first, length, every = part.breaks
    return (elapsed_s - first) % every < length


@dataclass(frozen=True)
class Outage:
    """An outage: [start, end) in epoch milliseconds. The check was degraded if not `is_down`."""

    start: int
    end: int
    is_down: bool
    code: int
    reason: str
    message: str


_FAILURES = (
    (0.5, 503, "http_status", "answered 503, expected 200–299"),
    (0.2, 500, "http_status", "answered 500, expected 200–299"),
    (0.2, 0, "connect_refused", "127.0.0.1 refused the connection"),
    (0.1, 0, "read_timeout", "no full answer within 10 s"),
)


_OF_OTHERS = {
    "tcp": ("connect_refused", "127.0.0.1 refused the connection"),
    "icmp": ("packet_loss", "100 % of the packets were lost (0 of 3 came back), the limit is 100 %"),
    "dns": ("dns_timeout", "127.0.0.1 did not answer in time"),
    "smtp": ("smtp_greeting", "the server greets with 421 Try again later"),
    "tls": ("connect_timeout", "127.0.0.1 did not accept a connection within 5 s"),
    "heartbeat": ("heartbeat_failed", "exit code 1: dump: no space left on device"),
}


def outages(chance: random.Random, *, number: int, start: int, end: int, kind: str = "http") -> list[Outage]:
    """Return at most `number` outages of 1 to 190 whole minutes, without overlap, none in the last six hours."""
    found: list[Outage] = []
    for _ in range(number):
        begin = chance.randrange(start + HOUR_MS, end - 6 * HOUR_MS) // 60_000 * 60_000
        minutes = min(190, max(1, round(chance.lognormvariate(2.0, 1.1))))
        stop = begin + minutes * 60_000
        if any(begin < other.end + HOUR_MS and other.start < stop + HOUR_MS for other in found):
            continue
        if kind != "http":
            found.append(Outage(begin, stop, True, 0, *_OF_OTHERS[kind]))
            continue
        if chance.random() < 0.25:
            found.append(Outage(begin, stop, False, 200, "too_slow", "took 1840 ms, longer than 1000 ms"))
            continue
        _, code, reason, message = chance.choices(_FAILURES, [failure[0] for failure in _FAILURES])[0]
        found.append(Outage(begin, stop, True, code, reason, message))
    return sorted(found, key=lambda outage: outage.start)


def path_of(parts: Sequence[Part]) -> dict[str, Part]:
    return {part.path: part for part in parts if part.kind == "http"}
