"""The kombu consumer of the queue `ingest`: one message at a time, acknowledged after its transaction.

While the database is away it keeps its message and waits. It never drops and never requeues a message; a redelivered
one is harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone
from kombu import Connection, Consumer, Queue, compression
from kombu.message import Message

from apps.pipeline.ingest import Memory, ingest
from apps.probes.publisher import EXCHANGE
from apps.probes.wire import INGEST_ROUTING_KEY
from apps.probes.worker import transport_options
from apps.results.dead_letters import add_dead_letter, add_unreadable, dead_letter_limit
from apps.results.models import DeadLetter
from apps.telemetry import health

log = logging.getLogger(__name__)

QUEUE = Queue("ingest", exchange=EXCHANGE, routing_key=INGEST_ROUTING_KEY, durable=True)
_DECLARE_EVERY_S = 10.0
_NOT_A_MESSAGE = (ValueError, LookupError, TypeError, AttributeError)
"""What kombu's transports raise for an item that they cannot read as a message. Our own callbacks raise none of them."""
_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 5.0)


def _refuse_packed(_body: bytes) -> bytes:
    raise ValueError("packed messages are not taken: they would be opened before their signature is judged")


class IngestConsumer:
    def __init__(self, broker_url: str, stop: threading.Event) -> None:
        for kind in compression.encoders():  # a few compressed bytes may expand to gigabytes
            compression.register(_refuse_packed, _refuse_packed, kind)
        self._url = broker_url
        self._stop = stop
        self._memory = Memory()
        self._options = {**transport_options("ingest"), "unacked_restore_throttle": 20}

    def run(self) -> None:
        """Consume until stopped; connect again while the broker is away."""
        attempt = 0
        while not self._stop.is_set():
            try:
                with Connection(self._url, transport_options=self._options, connect_timeout=3) as connection:
                    connection.connect()
                    attempt = 0
                    self._consume(connection)
            except Exception as error:  # noqa: BLE001  # each broker library has its own errors; all mean "connect again"
                log.warning("the broker is away: %s", error)
                self._pause(attempt)
                attempt += 1

    def _consume(self, connection: Connection) -> None:
        channel = connection.channel()
        with Consumer(
            channel,
            queues=[QUEUE],
            on_message=self._on_message,
            on_decode_error=self._on_undecodable,
            accept=["json"],
            prefetch_count=1,
        ):
            declared_at = time.monotonic()
            while not self._stop.is_set():
                health.LOOPS.turned("ingest", within_s=30)
                if time.monotonic() - declared_at > _DECLARE_EVERY_S:  # the broker may have lost its queues
                    QUEUE.bind(channel).declare()
                    declared_at = time.monotonic()
                try:
                    connection.drain_events(timeout=1)
                except TimeoutError:
                    continue
                except _NOT_A_MESSAGE as error:
                    self._on_unreadable(error)

    def _on_unreadable(self, error: Exception) -> None:
        """Store a dead letter for an item of the queue's list that is no message of kombu's; Valkey has removed it already."""
        now = timezone.now()
        self._until_done(lambda: add_unreadable(error=f"it is not a message: {error!r}", now=now))

    def _on_undecodable(self, message: Message, error: Exception) -> None:
        """Store a dead letter for a message that kombu cannot decode by its headers, and acknowledge it."""
        words, now = f"it cannot be opened: {error!r}", timezone.now()
        self._until_done(lambda: add_unreadable(error=words, now=now))
        if not self._stop.is_set():
            message.ack()

    def _on_message(self, message: Message) -> None:
        # The raw body: invalid JSON becomes a dead letter, not an exception inside kombu.
        body = message.body or b""
        raw = body.encode("utf-8", "replace") if isinstance(body, str) else bytes(body)
        self._until_done(lambda: self._work_off(raw))
        if not self._stop.is_set():
            message.ack()

    def _work_off(self, body: bytes) -> None:
        try:
            ingest(body, memory=self._memory, now=timezone.now())
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            log.exception("a message could not be worked on")
            add_dead_letter(
                origin=DeadLetter.Origin.MESSAGE,
                error=repr(error),
                content=body.decode("utf-8", "backslashreplace"),
                now=timezone.now(),
                limit=dead_letter_limit(),
            )

    def _until_done(self, work: Callable[[], Any]) -> None:
        """Repeat the work while the database fails (deadlock, timeout, connection), until it succeeds or we stop.

        `work` itself must handle all other errors, so that no message blocks the queue.
        """
        attempt = 0
        while not self._stop.is_set():
            health.LOOPS.turned("ingest", within_s=30)
            try:
                work()
            except (OperationalError, InterfaceError) as error:
                if attempt == 0:
                    log.warning("the database took no result: %s", str(error).strip())
                connections.close_all()
                self._pause(attempt)
                attempt += 1
            else:
                if attempt:
                    log.info("the database takes results again")
                return

    def _pause(self, attempt: int) -> None:
        self._stop.wait(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
