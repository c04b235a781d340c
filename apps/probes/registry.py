"""The registry of kinds. A kind listed here is available everywhere: worker, API and forms."""

from __future__ import annotations

from apps.probes.contract import Kind
from apps.probes.kinds import dns, heartbeat, http, icmp, smtp, tcp, tls

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (http.KIND, tcp.KIND, icmp.KIND, dns.KIND, tls.KIND, smtp.KIND, heartbeat.KIND)
}
PASSIVE = tuple(name for name, kind in KINDS.items() if kind.is_passive)
"""Kinds that wait for pings: never dispatched, evaluated by `incidents.heartbeat_machine`."""
