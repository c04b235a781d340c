"""What a region's worker may do at the broker: read its own queue, write the exchange `ingest`, and nothing else.

The same rules for both brokers; tests try the rest.
"""

from __future__ import annotations

from apps.probes import wire


def rabbitmq_rules(slug: str, *, vhost: str = "/") -> list[str]:
    """Arguments of `rabbitmqctl set_permissions` after the user's name: configure nothing, write, read."""
    queue = wire.queue_of(slug).replace(".", r"\.").replace("-", r"\-")
    return ["-p", vhost, f"region-{slug}", "^$", f"^{wire.INGEST_EXCHANGE}$", f"^{queue}$"]


def valkey_rules(slug: str) -> list[str]:
    """What follows the password in `ACL SETUSER region-<slug> on >password` (Valkey 8, Redis 7 or newer)."""
    queue = wire.queue_of(slug)
    # kombu keeps what is not acknowledged in a hash and a sorted set of ours, and has four lists for a queue's priorities: their
    # names go on with what no slug holds.
    own = [
        f"~{queue}",
        f"~{queue}[^-a-zA-Z0-9_.]*",
        *(f"~{name}.{queue}" for name in ("unacked", "unacked_index", "unacked_mutex")),
    ]
    commands = (
        "ping hello client|setinfo client|setname select multi exec discard watch unwatch exists brpop rpop llen lpush rpush "
        "hset hget hdel zadd zrem zrange zrangebyscore zrevrangebyscore set get del evalsha eval script|load"
    )
    return [
        "resetkeys", "resetchannels", "-@all", *own, *(f"+{name}" for name in commands.split()),
        f"(+smembers +exists %R~_kombu.binding.{wire.INGEST_EXCHANGE} %R~_kombu.binding.{queue})",
        f"(+lpush %W~{wire.INGEST_EXCHANGE})",
    ]  # fmt: skip
