"""Permissions of a region's worker at the broker: it reads its own queue, publishes to the exchange `ingest`, and
nothing else.

Both brokers get the same rules; tests verify that everything else is refused.
"""

from __future__ import annotations

from apps.probes import wire


def rabbitmq_rules(slug: str, *, vhost: str = "/") -> list[str]:
    """Return the arguments of `rabbitmqctl set_permissions`: vhost, user, patterns for configure, write and read."""
    queue = wire.queue_of(slug).replace(".", r"\.").replace("-", r"\-")
    return ["-p", vhost, f"region-{slug}", "^$", f"^{wire.INGEST_EXCHANGE}$", f"^{queue}$"]


def valkey_rules(slug: str) -> list[str]:
    """Return the rules after the password in `ACL SETUSER region-<slug> on >password` (Valkey 8, Redis 7 or newer)."""
    queue = wire.queue_of(slug)
    # kombu keeps unacknowledged messages in a hash and a sorted set per queue, and a queue's priorities in four
    # lists, whose names continue with a character that no slug contains.
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
