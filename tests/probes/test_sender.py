"""When a worker sends results: at once if one is news or if there are many, otherwise together after a pause."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from apps.probes import sender, wire
from apps.probes.sender import MANY, Sender

PATIENCE_S = 5


@pytest.fixture
def sent() -> queue.Queue[bytes]:
    return queue.Queue()


@pytest.fixture
def waiting(sent: queue.Queue[bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    """Yield a sender that in practice never sends because of time alone (`FLUSH_S` is an hour)."""
    monkeypatch.setattr(sender, "FLUSH_S", 3_600)
    made = Sender(wire.Signer("eu", wire.new_region_key(), "a"), sent.put, lambda: 0, lambda _why: None)
    made.start()
    yield made
    made.stop(PATIENCE_S)


def test_what_says_the_same_again_waits_for_news(waiting: Sender, sent: queue.Queue[bytes]) -> None:
    waiting.add_run(b'{"n":1}', is_news=False)
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.1)
    waiting.add_run(b'{"n":2}', is_news=True)
    message = sent.get(timeout=PATIENCE_S)
    assert (b"n" in message, sent.empty()) == (True, True)


def test_many_do_not_wait(waiting: Sender, sent: queue.Queue[bytes]) -> None:
    for _ in range(MANY):
        waiting.add_run(b"{}", is_news=False)
    assert sent.get(timeout=PATIENCE_S)


def test_what_is_left_goes_at_the_end(waiting: Sender, sent: queue.Queue[bytes]) -> None:
    waiting.add_run(b"{}", is_news=False)
    waiting.stop(PATIENCE_S)
    assert sent.get(timeout=PATIENCE_S)
