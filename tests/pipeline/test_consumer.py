"""What comes out of the queue, whatever it is, is worked off once and does not come again."""

from __future__ import annotations

import bz2
import threading
from typing import Any

import pytest
from kombu import Connection, Producer

from apps.pipeline.consumer import QUEUE, IngestConsumer
from apps.results.models import DeadLetter

BROKER = "memory://"


def taken(bodies: list[tuple[bytes, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many messages are left after a consumer took what it could, and stopped."""
    stop = threading.Event()
    consumer = IngestConsumer(BROKER, stop)
    with Connection(BROKER) as connection:
        bound = QUEUE.bind(connection.default_channel)
        bound.declare()
        bound.purge()
        producer = Producer(connection.default_channel)
        for body, headers in bodies:
            producer.publish(
                body, exchange=QUEUE.exchange, routing_key=QUEUE.routing_key, headers=headers,
                content_type="application/json", content_encoding="utf-8",
            )  # fmt: skip

        drain = Connection.drain_events

        def until_empty(of: Connection, **options: Any) -> Any:
            try:
                return drain(of, timeout=0.2)
            except TimeoutError:
                stop.set()
                raise

        with monkeypatch.context() as patch:
            patch.setattr(Connection, "drain_events", until_empty)
            consumer.run()
        left: Any = bound.queue_declare(passive=True)
        return int(left.message_count)


def test_a_body_that_would_be_opened_before_it_is_judged_is_a_dead_letter(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bz2.compress(b"0" * 50_000_000)
    assert len(bomb) < 200
    assert taken([(bomb, {"compression": "application/x-bz2"}), (b"{}", {})], monkeypatch) == 0
    errors = list(DeadLetter.objects.order_by("pk").values_list("error", flat=True))
    assert len(errors) == 2
    assert "packed messages are not taken" in errors[0]


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"not json", b'"\\ud800"'])
def test_rubbish_is_one_dead_letter(db: None, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    assert taken([(body, {})], monkeypatch) == 0
    assert DeadLetter.objects.count() == 1
