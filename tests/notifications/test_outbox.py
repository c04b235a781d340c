"""From events to deliveries to receivers: in order, at least once, no resolved message without its opened one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from apps.incidents.models import IncidentEvent
from apps.notifications.contract import ChannelKind, Message, SendError
from apps.notifications.models import Channel, Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.services import deliveries
from apps.notifications.services.channels import create_channel, delete_channel, send_test
from apps.notifications.services.deliveries import claim, deliver, take_unqueued_deliveries
from apps.notifications.services.outbox import expand_waiting
from apps.orgs.actors import SYSTEM
from tests.conftest import NOW, Cast
from tests.incidents.world import World


class Wire:
    """A channel kind that keeps messages in `got`, or raises `trouble` where it is set."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.trouble: SendError | None = None

    def send(self, _config: Mapping[str, Any], message: Message) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.got.append(message)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setitem(CHANNEL_KINDS, "wire", ChannelKind("wire", "Wire", dict, wire.send, ()))
    return wire


def channel(cast: Cast) -> Channel:
    return create_channel(actor=SYSTEM, now=NOW, project=cast.project, name="ops", kind="wire", config={})


def deliver_all(now: Any, rounds: int = 5) -> None:
    for _ in range(rounds):
        for delivery in Delivery.objects.order_by("created_at", "seq"):
            deliver(delivery_id=delivery.id, now=now)


def test_down_and_up_are_told_once_each_in_order(cast: Cast, line: Wire) -> None:
    channel(cast)
    world = World(cast)
    world.vote(world.first, eu="down")
    world.vote(world.slots(1)[0], eu="up")
    assert expand_waiting(now=world.moment) == 2
    assert expand_waiting(now=world.moment) == 0
    deliver_all(world.moment)
    assert [message.event for message in line.got] == ["incident.opened", "incident.resolved"]
    assert line.got[1].payload["incident"]["downtime_s"] == (world.slots(1)[0] - world.first) / 1000
    assert len({message.key for message in line.got}) == 2


def test_a_later_message_waits_for_an_earlier_one(cast: Cast, line: Wire) -> None:
    channel(cast)
    world = World(cast)
    world.vote(world.first, eu="down")
    world.vote(world.slots(1)[0], eu="up")
    expand_waiting(now=world.moment)
    opened, resolved = Delivery.objects.order_by("seq")
    line.trouble = SendError("the receiver is away")
    deliver(delivery_id=opened.id, now=world.moment)
    line.trouble = None
    assert deliver(delivery_id=resolved.id, now=world.moment) is None
    later = world.moment + timedelta(hours=2)
    assert take_unqueued_deliveries(now=later) == [opened.id]
    deliver_all(later)
    assert [message.event for message in line.got] == ["incident.opened", "incident.resolved"]


def test_who_never_got_the_opening_hears_no_resolve(cast: Cast, line: Wire) -> None:
    channel(cast)
    world = World(cast)
    world.vote(world.first, eu="down")
    world.vote(world.slots(1)[0], eu="up")
    expand_waiting(now=world.moment)
    line.trouble = SendError("gone", is_permanent=True)
    opened, resolved = Delivery.objects.order_by("seq")
    assert deliver(delivery_id=opened.id, now=world.moment) == Delivery.Status.DEAD
    line.trouble = None
    assert deliver(delivery_id=resolved.id, now=world.moment) == Delivery.Status.DEAD
    opened.refresh_from_db()
    resolved.refresh_from_db()
    assert (opened.error, resolved.error) == ("gone", "not sent: this channel never received the opening")
    assert line.got == []


def test_one_sender_at_a_time_until_its_lease_ends(cast: Cast, line: Wire) -> None:
    delivery = send_test(actor=SYSTEM, channel=channel(cast), now=NOW)
    assert claim(delivery_id=delivery.id, now=NOW) is not None
    assert claim(delivery_id=delivery.id, now=NOW + timedelta(seconds=30)) is None
    again = claim(delivery_id=delivery.id, now=NOW + timedelta(seconds=61))
    assert again is not None
    assert again.attempt == 2


def test_a_sender_whose_lease_ended_marks_nothing(cast: Cast, line: Wire) -> None:
    delivery = send_test(actor=SYSTEM, channel=channel(cast), now=NOW)
    first = claim(delivery_id=delivery.id, now=NOW)
    second = claim(delivery_id=delivery.id, now=NOW + timedelta(seconds=61))
    assert first is not None
    assert second is not None
    deliveries._note_failure(first, SendError("late"), NOW + timedelta(seconds=62))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("sending", 2)


def test_it_gives_up_after_its_last_attempt_with_the_reason(cast: Cast, line: Wire) -> None:
    delivery = send_test(actor=SYSTEM, channel=channel(cast), now=NOW)
    line.trouble = SendError("no answer")
    for hour in range(deliveries.MAX_ATTEMPTS + 3):
        deliver(delivery_id=delivery.id, now=NOW + timedelta(hours=2 * hour))
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.error) == ("dead", deliveries.MAX_ATTEMPTS, "no answer")


def test_a_receiver_that_asks_for_patience_gets_it(cast: Cast, line: Wire) -> None:
    delivery = send_test(actor=SYSTEM, channel=channel(cast), now=NOW)
    line.trouble = SendError("busy", retry_after_s=900)
    deliver(delivery_id=delivery.id, now=NOW)
    delivery.refresh_from_db()
    assert delivery.next_attempt_at >= NOW + timedelta(seconds=900)


def test_pauses_grow_with_jitter_and_have_a_bound() -> None:
    assert [deliveries.backoff_s(n, 1.0) for n in (1, 2, 3, 20)] == [5.0, 9.0, 17.0, 3_601.0]
    assert deliveries.backoff_s(5, 0.0) == 1.0


def test_a_channel_that_never_heard_of_the_opening_hears_no_resolve(cast: Cast, line: Wire) -> None:
    world = World(cast)
    world.vote(world.first, eu="down")
    expand_waiting(now=world.moment)
    channel(cast)
    world.vote(world.slots(1)[0], eu="up")
    expand_waiting(now=world.moment)
    assert Delivery.objects.count() == 0


def test_channels_of_other_projects_and_disabled_ones_hear_nothing(cast: Cast, line: Wire) -> None:
    create_channel(actor=SYSTEM, now=NOW, project=cast.others_project, name="theirs", kind="wire", config={})
    off = channel(cast)
    Channel.objects.filter(pk=off.pk).update(is_enabled=False)
    world = World(cast)
    world.vote(world.first, eu="down")
    expand_waiting(now=world.moment)
    assert Delivery.objects.count() == 0
    assert IncidentEvent.objects.filter(expanded_at=None).count() == 0


def test_a_receiver_that_hangs_does_not_hold_every_sender(cast: Cast, line: Wire) -> None:
    slow = channel(cast)
    waiting = [send_test(actor=SYSTEM, channel=slow, now=NOW) for _ in range(4)]
    claims = [claim(delivery_id=delivery.id, now=NOW) for delivery in waiting]
    assert sum(claim is not None for claim in claims) == deliveries.SENDERS_PER_CHANNEL


def test_a_tenant_whose_receivers_all_hang_leaves_senders_to_others(cast: Cast, line: Wire) -> None:
    mine = [channel(cast) for _ in range(5)]
    for one in mine:
        send_test(actor=SYSTEM, channel=one, now=NOW)
        send_test(actor=SYSTEM, channel=one, now=NOW)
    theirs = create_channel(actor=SYSTEM, now=NOW, project=cast.others_project, name="ops", kind="wire", config={})
    send_test(actor=SYSTEM, channel=theirs, now=NOW)
    claims = {d.pk: claim(delivery_id=d.pk, now=NOW) for d in Delivery.objects.order_by("created_at", "pk")}
    taken = [d.channel_id for d in Delivery.objects.all() if claims[d.pk] is not None]
    assert taken.count(theirs.pk) == 1
    assert len(taken) - 1 == deliveries.SENDERS_PER_ORGANIZATION


def test_the_sweep_tells_of_a_delivery_once_in_a_while(cast: Cast, line: Wire) -> None:
    delivery = send_test(actor=SYSTEM, channel=channel(cast), now=NOW)
    assert take_unqueued_deliveries(now=NOW) == [delivery.id]
    assert take_unqueued_deliveries(now=NOW + timedelta(seconds=2)) == []
    assert take_unqueued_deliveries(now=NOW + timedelta(seconds=8)) == [delivery.id]


def test_deleting_a_channel_ends_what_waits(cast: Cast, line: Wire) -> None:
    gone = channel(cast)
    delivery = send_test(actor=SYSTEM, channel=gone, now=NOW)
    delete_channel(actor=SYSTEM, channel=gone, now=NOW)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.error) == ("dead", "the channel was deleted")
