"""Sends a worker's results: a thread that batches them, signs them and passes them to the broker.

It is a separate thread so that a busy event loop does not delay results.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from apps.probes import wire

log = logging.getLogger(__name__)

FLUSH_S, NEWS_S, MANY = 0.75, 0.02, 200
"""How long results wait to be sent together: unchanged verdicts `FLUSH_S`, changed ones `NEWS_S`.

As soon as `MANY` results are waiting they are sent like changed ones.
"""
_BUFFERED_RUNS, _BUFFERED_OTHERS = 200_000, 1_000

Publish = Callable[[bytes], None]
"""Sends one message; blocks and retries until the broker has accepted it."""


class Sender:
    """Buffers and sends the messages of one worker. While the broker is unavailable the newest results are kept."""

    def __init__(self, signer: wire.Signer, publish: Publish, now_ms: Callable[[], int], on_drop: Callable[[str], None]) -> None:
        self._signer = signer
        self._publish = publish
        self._now_ms = now_ms
        self._on_drop = on_drop
        self._runs: deque[bytes] = deque()
        self._others: deque[bytes] = deque(maxlen=_BUFFERED_OTHERS)
        self._news = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._send_forever, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add_run(self, encoded: bytes, *, is_news: bool) -> None:
        """Queue a run encoded by `wire.encode_run`. If the buffer is full, the oldest run is dropped and counted."""
        if len(self._runs) >= _BUFFERED_RUNS:
            self._runs.popleft()
            self._on_drop("unsent")
        self._runs.append(encoded)
        if is_news or len(self._runs) >= MANY:
            self._news.set()

    def add(self, body: bytes) -> None:
        """Queue the body of a separate message: a report or the answer to a trial."""
        self._others.append(body)
        self._news.set()

    def stop(self, within_s: float) -> None:
        """Send what is queued; runs that cannot be sent within `within_s` seconds are lost, which is logged."""
        self._ending = True
        self._news.set()
        self._thread.join(within_s)
        if self._runs:
            log.warning("stopped with %d results unsent: the broker is away", len(self._runs))

    def _send_forever(self) -> None:
        is_last = False
        while not is_last:
            is_news = self._news.wait(FLUSH_S)
            is_last = self._ending
            if is_news and not is_last:
                time.sleep(NEWS_S)
            self._news.clear()
            try:
                self._send_all()
            except Exception:
                log.exception("results could not be sent; the next ones are tried")

    def _send_all(self) -> None:
        """Send what is queued now. Runs that arrive meanwhile wait, since each would become a separate message."""
        while self._others:
            self._send(self._others.popleft())
        left = len(self._runs)
        while left > 0:
            taken = [self._runs.popleft() for _ in range(min(wire.MAX_RUNS, left, len(self._runs)))]
            left -= wire.MAX_RUNS
            self._send(wire.runs_body(taken))

    def _send(self, body: bytes) -> None:
        self._publish(self._signer.sign(body, sent_at=self._now_ms()))
