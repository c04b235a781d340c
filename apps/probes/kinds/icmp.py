"""`icmp`: a host answers echo requests ("ping").

Proves that packets reach the host and return, how many are lost and how long they take. Cannot prove that any service
on the host works. A host behind a firewall that drops ICMP looks like one that is down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from apps.net.errors import NetError
from apps.net.icmp import LEAST_SIZE, Echoes
from apps.net.resolver import Family
from apps.probes import conditions, judge
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
from apps.probes.reasons import Reason
from apps.probes.targets import authority_of, host_of

ASSERTABLE_FACTS = ("latency", "dns", "address", "loss", "jitter", "sent", "received", "rtt_min", "rtt_avg", "rtt_max")


@dataclass(frozen=True)
class Options:
    host: str
    count: int
    interval_ms: int
    size: int
    wait_ms: int
    degraded_loss_percent: int
    down_loss_percent: int
    assertions: tuple[str, ...]
    down_ms: int | None
    ip_version: Family
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate; the target is a name or an address. Raises OptionError for `target` or an option."""
    host = host_of(target.removeprefix("[").removesuffix("]"))
    fields = RawOptions(raw)
    options = Options(
        host=host,
        count=fields.whole("count", 3, least=1, most=20) or 3,
        interval_ms=fields.whole("interval_ms", 200, least=20, most=5_000) or 200,
        size=fields.whole("size", 56, least=LEAST_SIZE, most=1_400) or 56,
        wait_ms=fields.whole("wait_ms", 2_000, least=50, most=30_000) or 2_000,
        degraded_loss_percent=fields.whole("degraded_loss_percent", 50, least=1, most=100) or 50,
        down_loss_percent=fields.whole("down_loss_percent", 100, least=1, most=100) or 100,
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
        down_ms=fields.whole("down_ms", None, least=1, most=600_000),
        ip_version=fields.family(),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    fields.end()
    return options


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    try:
        echoes = await context.network.icmp.ping(
            options.host, options.ip_version, deadline,
            count=options.count, interval_s=options.interval_ms / 1000, size=options.size, wait_s=options.wait_ms / 1000,
        )  # fmt: skip
    except NetError as error:
        return Outcome.failed(error)
    return judged(options, facts_of(echoes), context.now_ms)


def judged(options: Options, facts: Facts, now_ms: int) -> Outcome:
    """Return the outcome for these facts; its latency is the average round-trip time."""
    latency_ms: float | None = facts.get("rtt_avg")
    outcome = judge.first(
        _lost(facts, options, "down"),
        *judge.failed(options.assertions, latency_ms, facts, now_ms),
        judge.too_slow(latency_ms or 0, options.down_ms, facts),
        _lost(facts, options, "degraded"),
        judge.slow(latency_ms or 0, options.degraded_ms, facts),
        facts=facts,
    )
    return replace(outcome, latency_ms=latency_ms)


def facts_of(echoes: Echoes) -> Facts:
    """Return the facts of a run. Jitter is the mean difference of successive round-trip times (RFC 3550 unsmoothed)."""
    rtts = [rtt for rtt in echoes.rtts_ms if rtt is not None]
    sent = len(echoes.rtts_ms)
    facts: Facts = {
        "address": echoes.address,
        "phases_ms": {"dns": round(echoes.dns_ms, 2)},
        "sent": sent,
        "received": len(rtts),
        "loss": round(100 * (sent - len(rtts)) / sent, 1) if sent else 100.0,
    }
    if rtts:
        steps = [abs(after - before) for before, after in pairwise(rtts)]
        spread = {"rtt_min": min(rtts), "rtt_avg": sum(rtts) / len(rtts), "rtt_max": max(rtts)}
        spread |= {"jitter": sum(steps) / len(steps)} if steps else {}
        facts |= {name: round(value, 3) for name, value in spread.items()}
    return facts


def _lost(facts: Facts, options: Options, verdict: str) -> Outcome | None:
    """Return an outcome with this verdict if packet loss reaches its limit."""
    limit = options.down_loss_percent if verdict == "down" else options.degraded_loss_percent
    if facts["loss"] < limit:
        return None
    came_back = f"{facts['received']} of {facts['sent']} came back"
    message = f"{facts['loss']:g} % of the packets were lost ({came_back}), the limit is {limit} %"
    return Outcome.because(Reason.PACKET_LOSS, message, facts).judged(verdict)


def propose(typed: str) -> str | None:
    scheme, authority = authority_of(typed)
    if scheme not in ("", "https", "http"):
        return None
    try:
        return host_of(authority)
    except OptionError:
        return None


FIELDS = (
    OptionField("count", "Packets", "whole", "Sent in each run."),
    OptionField("interval_ms", "Pause between packets (ms)", "whole"),
    OptionField("size", "Packet size (bytes)", "whole", "Of the payload."),
    OptionField("wait_ms", "Packet timeout (ms)", "whole", "A packet that takes longer is lost."),
    OptionField("degraded_loss_percent", "Degraded at packet loss of (%)", "whole"),
    OptionField("down_loss_percent", "Down at packet loss of (%)", "whole"),
    OptionField("down_ms", "Down above (ms)", "whole", "On average; slower than this is down."),
    conditions.option_field(ASSERTABLE_FACTS, "[jitter] < 20 ms"),
    IP_VERSION,
)

KIND = Kind(
    name="icmp",
    title="Ping (ICMP)",
    parse=parse,
    run=run,
    asks="Host",
    proves="Packets reach the host and come back: how many are lost, how long they take, and how evenly.",
    propose=propose,
    example=("gateway.example", {"count": 5, "degraded_loss_percent": 20, "assertions": ["[jitter] < 10 ms"]}),
    option_fields=FIELDS,
)
