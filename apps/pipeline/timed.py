"""What a Celery worker of the core tells of itself: how long its tasks waited and ran, and that its loop turns."""

from __future__ import annotations

import time
from typing import Any

from celery import Task, bootsteps
from django.db import close_old_connections

from apps.telemetry.health import LOOPS, serve_as_told
from apps.telemetry.metrics import QUEUE_LAG, TASK_DURATION

_TURN_S = 2.0


class TimedTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """Every task of the core. What is sent says when, by our own clock: beat and workers share it."""

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
    """The consumer's own loop says that it turns: it does not while the broker is away or a handler hangs."""

    requires = ("celery.worker.components:Timer",)

    def start(self, worker: Any) -> None:
        serve_as_told()
        LOOPS.turned("consumer", within_s=30)
        worker.timer.call_repeatedly(_TURN_S, LOOPS.turned, ("consumer",), {"within_s": 10})
