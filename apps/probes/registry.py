"""The kinds there are. A kind is known everywhere (worker, API, forms) once it stands here."""

from __future__ import annotations

from apps.probes.contract import Kind
from apps.probes.kinds import dns, http, smtp, tcp, tls

KINDS: dict[str, Kind] = {kind.name: kind for kind in (http.KIND, tcp.KIND, dns.KIND, tls.KIND, smtp.KIND)}
