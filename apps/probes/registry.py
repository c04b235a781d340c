"""The kinds there are. A kind is known everywhere (worker, API, forms) once it stands here."""

from __future__ import annotations

from apps.probes.contract import Kind
from apps.probes.kinds import dns, heartbeat, http, icmp, smtp, tcp, tls

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (http.KIND, tcp.KIND, icmp.KIND, dns.KIND, tls.KIND, smtp.KIND, heartbeat.KIND)
}
PASSIVE = tuple(name for name, kind in KINDS.items() if kind.is_passive)
"""Kinds that wait to hear something: never dispatched, judged by `incidents.passive`."""
