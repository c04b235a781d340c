"""Handling of pings outside Django: accepted on the server's event loop, recorded in batches by one thread, and by a
small pool one at a time where a batch cannot record them.

Pings that arrive while the thread is in the database form its next batch, so that batches grow with the load.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

from apps.core.web_server.requests import Answer, Environ
from apps.ingress.ping_requests import PREFIX, BadPingError, PingRequest, read_ping
from apps.ingress.pings import answer_ping, answer_ping_batch, plain_answer

log = logging.getLogger(__name__)

_TOGETHER = 100
_WAITING = 5_000
"""Pings that may wait; a further one gets 503, and its client retries."""
_ONE_BY_ONE = 4

_Waiting = tuple[PingRequest, "asyncio.Future[Answer]"]


class PingHandler:
    """A `FastHandler` of the web server: answers every request below `/ping/`."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[_Waiting] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(_ONE_BY_ONE, "ping")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, environ: Environ) -> Awaitable[Answer] | Answer | None:
        if not environ["PATH_INFO"].startswith(PREFIX):
            return None
        try:
            request = read_ping(environ)
        except BadPingError as error:
            return plain_answer(str(error), error.status)
        if request is None:
            return plain_answer("not found", 404)
        if self._waiting.qsize() > _WAITING:
            return plain_answer("try again", 503)
        self._ensure_thread()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put((request, future))
        return future

    def _ensure_thread(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._hear_forever, name="pings", daemon=True)
                self._thread.start()

    def _hear_forever(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < _TOGETHER and not self._waiting.empty():
                batch.append(self._waiting.get())
            try:
                close_old_connections()
                answers = answer_ping_batch([request for request, _ in batch])
            except Exception:
                log.exception("%d pings could not be heard together; each is tried by itself", len(batch))
                answers = {}
            _tell([(future, answers[place]) for place, (_, future) in enumerate(batch) if place in answers])
            for place, waiting in enumerate(batch):
                if place not in answers:
                    self._pool.submit(_hear_alone, waiting)


def _hear_alone(waiting: _Waiting) -> None:
    request, future = waiting
    try:
        close_old_connections()
        answer = answer_ping(request)
    except Exception:
        log.exception("a ping could not be heard")
        answer = plain_answer("try again", 503)
    _tell([(future, answer)])


def _tell(answers: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
    """Set all responses in a single call into the loop: waking it for each would cost more than the response."""
    if answers:
        answers[0][0].get_loop().call_soon_threadsafe(_set_all, answers)


def _set_all(answers: list[tuple[asyncio.Future[Answer], Answer]]) -> None:
    for future, answer in answers:
        if not future.done():  # the client has disconnected
            future.set_result(answer)


pings = PingHandler()
