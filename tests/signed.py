"""Sign messages as probe workers do, each as a worker of its own, so that sequence numbers never clash."""

from __future__ import annotations

import itertools

from apps.probes import wire

_workers = itertools.count()


def signed(body: bytes, *, region: str, key: str, sent_at: int) -> bytes:
    return wire.Signer(region, key, f"worker-{next(_workers)}").sign(body, sent_at=sent_at)
