"""Metrics and health of the core's Celery workers: queue lag, task duration, liveness of the consumer's loop."""

from __future__ import annotations

import time
from typing import Any

from celery import Task, bootsteps
from django.db import close_old_connections

from apps.telemetry.health import LOOPS, serve_if_configured
from apps.telemetry.metrics import QUEUE_LAG, TASK_DURATION

_TURN_S = 2.0


class TimedTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """Base class of the core's tasks. Messages carry their send time; beat and workers share one clock."""

    abstract = True

    def apply_async(self, *arguments: Any, **options: Any) -> Any:
        headers = {"sent_at": time.time(), **(options.pop("headers", None) or {})}
        return super().apply_async(*arguments, headers=headers, **options)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        close_old_connections()
        sent_at = self.request.get("sent_at")
        if isinstance(sent_at, float):
            queue = (self.request.delivery_info or {}).get("routing_key", "")
            QUEUE_LAG.labels(queue).set(max(0.0, time.time() - sent_at))
        with TASK_DURATION.labels(self.name).time():
            return super().__call__(*arguments, **options)


class Turning(bootsteps.StartStopStep):
    """Reports that the consumer's loop runs, which it does not while the broker is away or a handler hangs."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        serve_if_configured()
        LOOPS.turned("consumer", within_s=30)
        worker.timer.call_repeatedly(_TURN_S, LOOPS.turned, ("consumer",), {"within_s": 10})
