"""The probe worker's Celery app: reads the region's queue and passes batches to the engine. No Django."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery import Celery
from kombu import Queue

from apps.net.address_policy import AddressPolicy
from apps.probes import wire
from apps.probes.canary import Canaries
from apps.probes.engine import Engine, Limits
from apps.probes.redis_transport import use_shared_clients
from apps.probes.secret_files import secret
from apps.telemetry import health


class SettingsError(Exception):
    """A missing or invalid environment variable; the text says which."""


@dataclass(frozen=True)
class Settings:
    """The settings of a worker, from environment variables; `manage.py region add` prints them."""

    broker_url: str
    region: str
    region_key: str
    policy: AddressPolicy
    limits: Limits
    ca_file: str
    canaries: tuple[str, ...]
    health: tuple[str, int] | None
    """Host and port of the health server; None if it is disabled."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables. Raises SettingsError."""

        def needed(name: str) -> str:
            try:
                value = secret(environment, name)
            except ValueError as error:
                raise SettingsError(str(error)) from error
            if not value:
                raise SettingsError(f"{name} is not set: `manage.py region add SLUG` prints what a worker needs")
            return value

        targets = environment.get("GORUPTIME_PRIVATE_TARGETS", "refused")
        if targets not in ("allowed", "refused"):
            raise SettingsError("GORUPTIME_PRIVATE_TARGETS must be allowed or refused")
        try:
            policy = AddressPolicy.parse(
                private=targets == "allowed",
                allow=environment.get("GORUPTIME_ALLOWED_NETWORKS", ""),
                deny=environment.get("GORUPTIME_DENIED_NETWORKS", ""),
            )
            canaries = tuple(text.strip() for text in environment.get("GORUPTIME_CANARIES", "").split(",") if text.strip())
            Canaries(canaries)
            running = int(environment.get("GORUPTIME_PROBE_CONCURRENCY", "5000"))
            per_host = int(environment.get("GORUPTIME_PROBE_PER_HOST", "100"))
            health_address = health.address(environment)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        return cls(
            broker_url=needed("GORUPTIME_BROKER_URL"),
            region=needed("GORUPTIME_REGION"),
            region_key=needed("GORUPTIME_REGION_KEY"),
            policy=policy,
            limits=Limits(running=running, accepted=max(20_000, 4 * running), per_host=per_host),
            ca_file=environment.get("GORUPTIME_CA_FILE", ""),
            canaries=canaries,
            health=health_address,
        )


def transport_options(queue: str) -> dict[str, Any]:
    """Return kombu's transport options for one queue.

    With Redis or Valkey, each queue has its own keys for unacknowledged messages, which are redelivered soon after a
    worker was killed.
    """
    return {
        "visibility_timeout": 60,
        "unacked_key": f"unacked.{queue}",
        "unacked_index_key": f"unacked_index.{queue}",
        "unacked_mutex_key": f"unacked_mutex.{queue}",
        "unacked_mutex_expire": 10,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 3,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "retry_on_timeout": False,
        "confirm_publish": True,  # RabbitMQ: publishing waits for the broker's confirmation
    }


def make_app(settings: Settings, engine: Engine) -> Celery:
    """Return a Celery app whose only task passes batches to the engine."""
    use_shared_clients()
    queue = wire.queue_of(settings.region)
    app = Celery("probes", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        # The core declares the queue, because a region's broker account may not be permitted to.
        task_queues=[Queue(queue, routing_key=queue, durable=True, no_declare=True)],
        task_default_queue=queue,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=transport_options(queue),
    )

    @app.task(name=wire.TASK, ignore_result=True)
    def run(*, v: int, sent_at: int, jobs: list[dict[str, Any]], **_newer: object) -> None:
        if v != wire.JOBS_VERSION:
            engine.count_dropped("version", len(jobs))
            return
        engine.submit(jobs, sent_at)

    return app


def raise_file_limit() -> None:
    """Raise the limit of open files: in a mass outage each job holds a socket for its whole timeout."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
