"""Publish signed results to the exchange `ingest` as plain kombu messages.

They are not Celery messages, because those can carry links that the consumer would execute.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from kombu import Connection, Exchange, Producer

from apps.probes import wire

log = logging.getLogger(__name__)

EXCHANGE = Exchange(wire.INGEST_EXCHANGE, type="direct", durable=True)
_PERSISTENT = 2  # AMQP 0-9-1, basic properties
_RETRY_S = (0.1, 0.3, 1.0, 2.0)


class Publisher:
    """A connection to the broker that is reopened until it works. Thread-safe."""

    def __init__(self, broker_url: str, transport_options: dict[str, Any]) -> None:
        self._url = broker_url
        self._options = transport_options
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._closed = threading.Event()

    def __call__(self, message: bytes) -> None:
        """Publish a message; block until the broker has accepted it or the publisher is closed."""
        attempt = 0
        while not self._closed.is_set():
            try:
                with self._lock:
                    self._opened().publish(
                        message,
                        exchange=EXCHANGE,
                        routing_key=wire.INGEST_ROUTING_KEY,
                        content_type="application/json",
                        content_encoding="utf-8",
                        delivery_mode=_PERSISTENT,
                        declare=[],
                    )
            except Exception as error:  # noqa: BLE001  # each broker library raises errors of its own
                if attempt == 0:
                    log.warning("the broker took no result: %s", error)
                self._drop()
                self._closed.wait(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            else:
                if attempt:
                    log.info("the broker takes results again")
                return

    def close(self) -> None:
        self._closed.set()
        self._drop()

    def _opened(self) -> Producer:
        if self._producer is None:
            self._connection = Connection(self._url, transport_options=self._options, connect_timeout=3)
            self._producer = Producer(self._connection.channel(), auto_declare=False)
        return self._producer

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection, self._producer = self._connection, None, None
            if connection is not None:
                try:
                    connection.release()
                except Exception as error:  # noqa: BLE001  # the connection is broken anyway
                    log.debug("closing a broken connection: %s", error)
