"""The watchdog ends a worker whose event loop is blocked, and reports the job that blocks it."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
import uuid

import pytest

from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.probes import wire
from apps.probes.contract import Outcome
from apps.probes.engine import Engine
from apps.probes.kinds import tcp
from apps.probes.reasons import Verdict
from apps.probes.watchdog import EXIT_CODE, Watchdog
from tests.probes.test_canary import Settled


def test_the_job_that_holds_the_loop_is_named_and_the_worker_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    async def hold(*_: object) -> Outcome:
        await asyncio.sleep(0)
        released.wait(20)
        return Outcome(Verdict.UP)

    monkeypatch.setattr("apps.probes.runner.KINDS", {"tcp": _holding(hold)})
    sent: queue.Queue[bytes] = queue.Queue()
    ended: queue.Queue[int] = queue.Queue()
    engine = Engine("eu", wire.new_region_key(), Network(AddressPolicy(private=True)), sent.put, clock=Settled())
    watchdog = Watchdog(engine, ended.put, tick_s=0.05)
    engine.start()
    watchdog.start()
    trial = str(uuid.uuid4())
    job = {"kind": "tcp", "target": "127.0.0.1:1", "options": {}, "timeout_ms": 1_000, "trial": trial}
    engine.submit([job], int(time.time() * 1000))
    assert ended.get(timeout=10) == EXIT_CODE
    released.set()
    bodies = [wire.parse_body(wire.parse_envelope(sent.get(timeout=5)).body) for _ in range(sent.qsize())]
    (report,) = [wire.parse_standstill(body.text) for body in bodies if body.type == "standstill"]
    assert (str(report.trial), report.kind) == (trial, "tcp")
    assert "hold" in report.stack
    assert json.loads(bodies[-1].text)["type"] == "standstill"
    watchdog.stop()
    engine.stop()


def test_it_watches_on_where_celery_has_replaced_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", object())  # has no file descriptor
    engine = Engine("eu", wire.new_region_key(), Network(AddressPolicy(private=True)), lambda _message: None, clock=Settled())
    watchdog = Watchdog(engine, lambda _code: None, tick_s=0.01)
    watchdog.start()
    time.sleep(0.1)
    assert watchdog._thread.is_alive()
    watchdog.stop()


def test_a_loop_that_comes_back_is_left_alone() -> None:
    ended: queue.Queue[int] = queue.Queue()
    engine = Engine("eu", wire.new_region_key(), Network(AddressPolicy()), lambda _message: None, clock=Settled())
    watchdog = Watchdog(engine, ended.put, tick_s=0.11)  # longer than a beat
    engine.start()
    watchdog.start()
    with pytest.raises(queue.Empty):
        ended.get(timeout=2)
    watchdog.stop()
    engine.stop()


def _holding(run: object) -> object:
    from dataclasses import replace

    return replace(tcp.KIND, run=run)  # type: ignore[arg-type]
