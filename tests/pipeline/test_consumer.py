"""The consumer of the queue `ingest` handles every message once and acknowledges it, whatever it contains."""

from __future__ import annotations

import bz2
import os
import threading
from typing import Any

import pytest
import redis
from django.utils import timezone
from kombu import Connection, Producer

from apps.core.clock import to_ms
from apps.operations.requeue import requeue
from apps.pipeline import consumer
from apps.pipeline.consumer import QUEUE, IngestConsumer
from apps.probes import wire
from apps.probes.reasons import Verdict
from apps.results.models import DeadLetter
from tests.conftest import Cast
from tests.incidents.world import World
from tests.signed import signed

BROKER = "memory://"


def taken(bodies: list[tuple[bytes, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> int:
    """Publish the messages, run a consumer until the queue is empty, and return how many messages are left in it."""
    stop = threading.Event()
    taker = IngestConsumer(BROKER, stop)
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
            taker.run()
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


def test_a_message_that_met_a_fault_of_ours_is_kept_whole_and_can_be_put_back(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(cast)
    run = wire.Run(world.check.id, 1, world.first, world.first, 12, Verdict.UP, None, "", {"seen": "x" * 30_000})
    region = cast.regions["eu"]
    sent_at = to_ms(timezone.now())
    body = signed(wire.runs_body([wire.encode_run(run)]), region=region.slug, key=region.key, sent_at=sent_at)
    with monkeypatch.context() as patch:
        patch.setattr(consumer, "ingest", lambda *_, **__: 1 / 0)
        assert taken([(body, {})], monkeypatch) == 0
    letter = DeadLetter.objects.get()
    assert letter.content == body.decode()
    asked: list[bytes] = []
    monkeypatch.setattr("apps.operations.requeue.ingest", lambda raw, **_: asked.append(raw))
    assert requeue(dead_letter=letter, now=timezone.now())
    assert asked == [body]


def test_what_is_rubbish_or_comes_again_and_again_is_cut(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"y" * 30_000
    assert taken([(body, {})], monkeypatch) == 0
    monkeypatch.setattr("apps.results.dead_letters._WHOLE_MESSAGES", 0)
    with monkeypatch.context() as patch:
        patch.setattr(consumer, "ingest", lambda *_, **__: 1 / 0)
        assert taken([(body, {}), (body, {})], monkeypatch) == 0
    assert [len(letter.content) for letter in DeadLetter.objects.order_by("pk")] == [20_000, 30_000, 20_000]


def test_items_of_valkeys_list_that_are_no_messages_are_dead_letters_and_hold_nobody(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = os.environ["REDIS_URL"].removeprefix("unix://").replace("?db=", "?virtual_host=")
    monkeypatch.setattr("apps.results.dead_letters._UNREADABLE_AN_HOUR", 3)
    stop = threading.Event()
    items = [b"\xff\xfe", b"not json", b"[]", b"{}", b'{"body": 1, "properties": 2}', b"1"]
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.delete("ingest")
        client.lpush("ingest", *items)
        timer = threading.Timer(1.5, stop.set)
        timer.start()
        IngestConsumer(f"redis+socket://{address}", stop).run()
        timer.join()
        assert client.llen("ingest") == 0, "none of them takes longer than a message"
    assert DeadLetter.objects.count() == 3, "the further ones are dropped"
    assert all("not a message" in letter.error for letter in DeadLetter.objects.all())
