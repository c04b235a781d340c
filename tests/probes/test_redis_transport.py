from __future__ import annotations

from typing import Any

from django.conf import settings
from kombu import Connection, Exchange, Producer, Queue

from apps.probes.redis_transport import Channel


def test_a_channel_has_one_client_for_all_that_it_sends_and_acknowledges() -> None:
    """The whole process uses this transport: nothing is named here but the broker's address."""
    queue = Queue("transport-test", Exchange("transport-test"), routing_key="x")
    with Connection(settings.BROKER_URL) as connection:
        channel: Any = connection.channel()
        assert isinstance(channel, Channel)
        with channel.conn_or_acquire() as first:
            pass
        Producer(channel, exchange=queue.exchange).publish("hello", routing_key="x", declare=[queue])
        message = queue.bind(channel).get()
        assert message is not None
        message.ack()
        with channel.conn_or_acquire() as again, channel.conn_or_acquire(again) as given:
            assert first is again is given
        queue.bind(channel).delete()


def test_after_its_pool_was_replaced_a_channel_makes_a_new_client() -> None:
    with Connection(settings.BROKER_URL) as connection:
        channel: Any = connection.channel()
        with channel.conn_or_acquire() as before:
            assert before.ping()
        channel._disconnect_pools()
        with channel.conn_or_acquire() as after:
            assert after is not before
            assert after.ping()
