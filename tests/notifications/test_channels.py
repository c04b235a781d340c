from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.core.errors import FieldError
from apps.incidents.labels import span_words
from apps.net.address_policy import AddressPolicy
from apps.notifications.channels import email, webhook
from apps.notifications.contract import Message, SendError
from apps.notifications.message_text import body, subject
from apps.notifications.models import ChannelAddress, Delivery
from apps.notifications.services.addresses import MOST_ASKED, confirm_address, send_confirmation
from apps.notifications.services.channels import create_channel, send_test
from apps.notifications.services.deliveries import deliver
from apps.orgs.actors import SYSTEM
from tests.conftest import NOW, Cast

PAYLOAD: dict[str, Any] = {
    "organization": {"id": "o", "name": "Acme"},
    "project": {"id": "p", "name": "Web"},
    "resource": {"id": "r", "name": "shop"},
    "check": {"id": "c", "name": "shop\r\nBcc: x", "kind": "http", "target": "https://shop.example/"},
    "incident": {
        "id": "i", "severity": "down", "started_at": "2026-11-01T12:00:00.000Z", "resolved_at": "2026-11-01T12:04:10.000Z",
        "duration_s": 250.0, "downtime_s": 240.0, "resolution": None,
    },
    "reason": {"code": "connect_refused", "message": "1.2.3.4:443 refused the connection"},
    "url": "https://up.example/api/v1/incidents/i/",
}  # fmt: skip
MESSAGE = Message("key-1", "incident.resolved", PAYLOAD, "2026-11-01T12:04:11.000Z")


@pytest.fixture
def receiver() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        status = 200
        headers_out: dict[str, str] = {}
        seen: list[tuple[dict[str, str], bytes]] = []

        def do_POST(self) -> None:
            type(self).seen.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(self.status)
            for name, value in self.headers_out.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    Handler.seen.clear()
    yield Handler, f"http://127.0.0.1:{server.server_address[1]}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_is_signed_and_whole(receiver: Any) -> None:
    handler, url = receiver
    config = webhook.parse({"url": url})
    webhook.send(config, MESSAGE)
    ((headers, raw),) = handler.seen
    sent = json.loads(raw)
    assert set(sent) == {
        "version",
        "id",
        "event",
        "timestamp",
        "organization",
        "project",
        "resource",
        "check",
        "incident",
        "reason",
        "url",
    }
    stamp, mac = headers["X-GoUpTime-Signature"].removeprefix("t=").split(",v1=")
    assert mac == hmac.new(config["secret"].encode(), f"{stamp}.".encode() + raw, hashlib.sha256).hexdigest()
    assert headers["Idempotency-Key"] == sent["id"] == "key-1"


@pytest.mark.parametrize(("status", "is_permanent"), [(500, False), (404, False), (410, True), (302, False)])
def test_an_answer_that_is_no_thanks_is_an_error(receiver: Any, status: int, is_permanent: bool) -> None:
    handler, url = receiver
    handler.status, handler.headers_out = status, {"Retry-After": "120", "Location": url}
    with pytest.raises(SendError) as caught:
        webhook.send(webhook.parse({"url": url}), MESSAGE)
    assert (caught.value.is_permanent, caught.value.retry_after_s) == (is_permanent, 120.0)
    assert len(handler.seen) == 1


def test_a_webhook_goes_where_a_probe_may_go(receiver: Any, settings: Any) -> None:
    handler, url = receiver
    config = webhook.parse({"url": url})
    named = {**config, "url": url.replace("127.0.0.1", "localhost")}
    settings.ADDRESS_POLICY = AddressPolicy()
    with pytest.raises(FieldError, match="does not call"):
        webhook.parse({"url": url})
    for refused in (config, named):
        with pytest.raises(SendError) as caught:
            webhook.send(refused, MESSAGE)
        assert caught.value.is_permanent
    assert handler.seen == []


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "ftp://x/"},
        {"url": 3},
        {"url": "http://0x7f.1/"},
        {"url": "http://e.org/", "secret": "short"},
        {"url": "http://e.org/", "x": 1},
        {"url": "http://e.org:99999/"},
    ],
)
def test_a_bad_webhook_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        webhook.parse(config)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"to": []},
        {"to": "nobody"},
        {"to": ["a@b.c"] * 21},
        {"to": [3]},
        {"to": [["@"]]},
        {"to": ["a@\ud800b.com"]},
        {"to": "a@example.org", "cc": ""},
    ],
)
def test_a_bad_mail_channel_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(FieldError):
        email.parse(config)


def test_a_mail_says_what_was_seen_and_for_how_long() -> None:
    email.send(email.parse({"to": "a@example.org"}), MESSAGE)
    (sent,) = mail.outbox
    assert sent.subject == "[Recovered] shop Bcc: x after 4 min 10 s"
    assert sent.to == ["a@example.org"]
    for words in ("1.2.3.4:443 refused the connection", "Downtime: 4 min", "https://up.example/", "Acme / Web"):
        assert words in str(sent.body)
    assert sent.extra_headers["Message-ID"] == "<key-1@goruptime>"


def test_words_for_every_event() -> None:
    opened = Message("k", "incident.opened", {**PAYLOAD, "incident": {**PAYLOAD["incident"], "resolved_at": None}}, "")
    warned = Message(
        "k", "incident.opened", {**PAYLOAD, "incident": {**PAYLOAD["incident"], "severity": "warn", "resolved_at": None}}, ""
    )
    test = Message("k", "channel.test", {**PAYLOAD, "check": None, "incident": None}, "")
    assert subject(opened).startswith("[Down]")
    assert subject(warned).startswith("[Degraded]")
    assert "Ended" not in body(opened)
    assert "test" in subject(test).lower()
    assert "test" in body(test)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (45.9, "45 s"), (250, "4 min 10 s"), (3_600, "1 h"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_spans_read_like_a_person_says_them(seconds: float, words: str) -> None:
    assert span_words(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_a_receiver_may_ask_to_be_left_alone_for_a_while(text: str | None, seconds: float | None) -> None:
    assert webhook.retry_after_s(text, now_s=10.0) == seconds


def test_user_name_and_password_of_an_address_are_sent(receiver: Any) -> None:
    handler, url = receiver
    webhook.send(webhook.parse({"url": url.replace("://", "://us%40er:p%3Ass@")}), MESSAGE)
    ((headers, _),) = handler.seen
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"us@er:p:ss").decode()
    with pytest.raises(FieldError):
        webhook.parse({"url": url.replace("://", "://user@")})


def test_nothing_but_one_mail_goes_to_an_address_whose_owner_did_not_agree(cast: Cast) -> None:
    """A member's own address needs no confirmation."""
    config = {"to": ["stranger@elsewhere.example", "Alice@example.org"]}
    channel = create_channel(actor=SYSTEM, now=NOW, project=cast.project, name="Buy now", kind="email", config=config)
    create_channel(actor=SYSTEM, now=NOW, project=cast.project, name="Buy more", kind="email", config=config)
    (row,) = ChannelAddress.objects.all()
    assert [send_confirmation(address_id=row.pk, now=NOW) for _ in range(3)] == [True, False, False]
    (asked,) = mail.outbox
    assert (asked.to, "Buy" in f"{asked.subject}{asked.body}") == (["stranger@elsewhere.example"], False)
    deliver(delivery_id=send_test(actor=SYSTEM, channel=channel, now=NOW).id, now=NOW)
    assert mail.outbox[1].to == ["Alice@example.org"]
    link = str(asked.body).split("http://127.0.0.1:8000")[2].split()[0]
    assert Client().get(link).status_code == 200
    deliver(delivery_id=send_test(actor=SYSTEM, channel=channel, now=NOW).id, now=NOW)
    assert mail.outbox[2].to == ["Alice@example.org"]  # opening the link is no consent: mail scanners do
    assert b"Confirmed" in Client().post(link).content
    deliver(delivery_id=send_test(actor=SYSTEM, channel=channel, now=NOW).id, now=NOW)
    assert mail.outbox[3].to == config["to"]
    assert confirm_address(token="of nobody", now=NOW) is None


def test_an_organization_asks_a_bounded_number_of_strangers_a_day(cast: Cast) -> None:
    def add(first: int, now: datetime) -> None:
        config = {"to": [f"stranger{first + number}@elsewhere.example" for number in range(10)]}
        create_channel(actor=SYSTEM, now=now, project=cast.project, name="x", kind="email", config=config)

    for first in range(0, MOST_ASKED, 10):
        add(first, NOW)
    with pytest.raises(FieldError, match="wait for their confirmation"):
        add(MOST_ASKED, NOW)
    assert ChannelAddress.objects.count() == MOST_ASKED
    for row in ChannelAddress.objects.all():
        send_confirmation(address_id=row.pk, now=NOW)
    add(MOST_ASKED, NOW + timedelta(days=1, seconds=1))


def test_where_nobody_agreed_a_message_says_why_it_was_not_sent(cast: Cast) -> None:
    channel = create_channel(
        actor=SYSTEM, now=NOW, project=cast.project, name="x", kind="email", config={"to": ["stranger@elsewhere.example"]}
    )
    delivery = send_test(actor=SYSTEM, channel=channel, now=NOW)
    assert deliver(delivery_id=delivery.id, now=NOW) == Delivery.Status.DEAD
    assert "is confirmed" in Delivery.objects.get(pk=delivery.pk).error


def test_mails_of_a_project_are_limited_and_none_is_lost(cast: Cast, settings: Any) -> None:
    cache.clear()
    settings.MAILS_PER_MINUTE = 3
    channel = create_channel(
        actor=SYSTEM, now=NOW, project=cast.project, name="x", kind="email", config={"to": ["alice@example.org"]}
    )
    deliveries = [send_test(actor=SYSTEM, channel=channel, now=NOW) for _ in range(5)]
    outcomes = [deliver(delivery_id=delivery.id, now=NOW) for delivery in deliveries]
    assert (outcomes.count(Delivery.Status.SENT), outcomes.count(Delivery.Status.PENDING)) == (3, 2)
    assert set(Delivery.objects.filter(status="pending").values_list("attempts", flat=True)) == {0}
    cache.clear()
    later = NOW + timedelta(minutes=2)
    assert [deliver(delivery_id=delivery.id, now=later) for delivery in deliveries[3:]] == [Delivery.Status.SENT] * 2
