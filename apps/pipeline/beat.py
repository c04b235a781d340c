"""Celery beat in two or more processes: one holds the lease and sends, the others wait for the lease to end."""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import bootsteps
from celery.beat import Service
from django.db import DatabaseError, InterfaceError, connection
from django_celery_beat.schedulers import DatabaseScheduler

from apps.monitors.beat_lease import acquire_beat_lease
from apps.telemetry.health import LOOPS, serve_if_configured

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 1.0
_SHORTEST_PAUSE_S = 0.005
_EDITS_READ_EVERY_S = 5.0
_SURE_S = 1.9
"""For how long a lease is relied on: well below its length.

Counted on the monotonic clock, which goes on while the process is stopped.
"""


class PairScheduler(DatabaseScheduler):  # type: ignore[misc]  # it comes without types
    """A database scheduler that sends only while it holds the lease, which it extends every two seconds.

    A beat that was stopped for a while requests the lease again before it sends.
    """

    is_embedded = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._holder = uuid.uuid4().hex
        self._is_leading = False
        self._asked_at = self._looked_at = -math.inf
        super().__init__(*arguments, **options)
        if not options.get("lazy"):
            serve_if_configured()

    def tick(self, *arguments: Any, **options: Any) -> float:
        LOOPS.turned("beat", within_s=15)
        try:
            return self._send_due() if self._may_send() else _ASK_AGAIN_S
        except (DatabaseError, InterfaceError) as error:
            if self._is_leading:
                log.warning("no beat while the database is away: %s", str(error).strip())
            self._is_leading = False
            connection.close()
            return _ASK_AGAIN_S

    def _send_due(self) -> float:
        """Send all entries that are due; Celery's own tick sends one at a time and asks all entries again for each."""
        pause_s = _ASK_AGAIN_S
        entries = self.schedule
        for name, entry in list(entries.items()):
            is_due, next_s = self.is_due(entry)
            if is_due:
                entries[name] = self.reserve(entry)  # due again only after its interval
                self.apply_entry(entry, producer=None if self.is_embedded else self.producer)
            pause_s = min(pause_s, next_s)
        return float(max(_SHORTEST_PAUSE_S, pause_s))

    def schedule_changed(self) -> bool:
        """Return whether operators edited the entries; read every five seconds, though Celery asks at every tick."""
        if time.monotonic() - self._looked_at < _EDITS_READ_EVERY_S:
            return False
        self._looked_at = time.monotonic()
        changed: bool = super().schedule_changed()
        return changed

    def close(self) -> None:
        """Close the connection without saving entries.

        Celery calls this in a signal handler, where a query could wait for ever for the one it interrupted. Entries are
        saved when the process exits, on a new connection.
        """
        connection.close()

    def _may_send(self) -> bool:
        if self._is_leading and time.monotonic() - self._asked_at < _SURE_S:
            return True
        self._asked_at = time.monotonic()
        leads = acquire_beat_lease(holder=self._holder)
        if leads and not self._is_leading:
            log.info("this beat leads")
        self._is_leading = leads
        return leads


class EmbeddedScheduler(PairScheduler):
    """Runs what is due in threads of this process instead of sending it to workers: no message, no round trip.

    Each task has a thread of its own while it runs, so that none waits for another; what comes due while the same task
    still runs is dropped, as it would expire in a queue.
    """

    is_embedded = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="periodic")
        self._running: dict[str, threading.Lock] = defaultdict(threading.Lock)
        super().__init__(*arguments, **options)

    def apply_async(self, entry: Any, producer: Any = None, **_options: Any) -> None:
        task = self.app.tasks.get(entry.task)
        if task is None:
            log.error("the periodic entry %s names a task that does not exist: %s", entry.name, entry.task)
        elif self._running[task.name].acquire(blocking=False):
            self._threads.submit(self._run, task, entry)

    def _run(self, task: Any, entry: Any) -> None:
        try:
            task(*(entry.args or ()), **(entry.kwargs or {}))
        except Exception:  # whatever a task raises, it comes again
            log.exception("the periodic task %s failed", task.name)
        finally:
            self._running[task.name].release()

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        super().close()


class EmbeddedBeat(bootsteps.StartStopStep):
    """Runs the beat in a thread of a worker: in a small installation one process does what several do in a large one."""

    requires = ("celery.worker.components:Timer",)

    def __init__(self, _worker: Any, *, with_beat: bool = False, **_options: Any) -> None:
        self.enabled = with_beat

    def start(self, worker: Any) -> None:
        LOOPS.turned("beat", within_s=60)
        self._stopped = threading.Event()
        self._service: Service | None = None
        self._thread = threading.Thread(target=self._run, args=(worker.app,), name="beat", daemon=True)
        self._thread.start()

    def _run(self, app: Any) -> None:
        """Run the beat, and begin again when it fails: the worker itself would live on without it."""
        app.set_current()
        while not self._stopped.is_set():
            try:
                self._service = Service(app, max_interval=1, scheduler_cls=EmbeddedScheduler)
                self._service.start()
            except Exception:  # the worker lives on, and nothing else would begin the beat again
                log.exception("the beat failed and begins again")
                connection.close()  # a broken one would fail every further attempt
                self._stopped.wait(_ASK_AGAIN_S)

    def stop(self, _worker: Any) -> None:
        self._stopped.set()
        if self._service is not None:
            self._service.stop()
        self._thread.join(10)
