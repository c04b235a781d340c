"""The one event loop of a probe worker: takes batches, starts each job at its slot, sends what was seen.

Runs in a thread of its own; the Celery task only hands batches over. What it saw goes to `Sender`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import uvloop

from apps.net.network import Network
from apps.probes import runner, wire
from apps.probes.canary import Canaries
from apps.probes.clock import CoreClock
from apps.probes.contract import Outcome
from apps.probes.fair_queue import FairQueue
from apps.probes.loop_lag import LoopLag
from apps.probes.reasons import Reason, Verdict
from apps.probes.sender import Publish, Sender
from apps.telemetry import health, metrics

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
LATEST_START_MS = 2_000
_STARTED_EARLY_MS = 15_000
_STOP_S = 12.0
_UNSENT_S = 3.0
_GRID_MS = 20
"""Where there are many, they start together: a loop that wakes for each run costs half as much again."""
_REMEMBERED = 200_000
_TIMED = frozenset(
    {
        Reason.CONNECT_TIMEOUT, Reason.READ_TIMEOUT, Reason.DNS_TIMEOUT, Reason.TOO_SLOW, Reason.TLS_HANDSHAKE,
        Reason.PACKET_LOSS, Reason.PROXY_FAILED, Reason.ASSERTION_FAILED,
    }
)  # fmt: skip
"""What a loop that stood still may have seen of a target that is well: our time was up."""
_LEFT = frozenset({Reason.CONNECTION_CLOSED, Reason.CONNECTION_RESET, Reason.TRUNCATED_BODY, Reason.DNS_MALFORMED})
"""The same: the target's patience was. It lasts for seconds; who resets at once is down, however busy we are."""
_PATIENCE_S = 3.0
_SHARE_STOOD = 0.2
"""Of a run: a shorter standstill does not explain what was timed."""


@dataclass(frozen=True)
class Limits:
    """What one process may hold: running jobs are sockets and memory, accepted ones wait for their slot."""

    running: int = 5_000
    accepted: int = 20_000
    per_host: int = 100


class Recent:
    """What was seen in the last one to two spans; bounded by time, so by the rate."""

    def __init__(self, span_s: float = 10.0) -> None:
        self._span_s = span_s
        self._turned = time.monotonic()
        self._older: set[str] = set()
        self._newer: set[str] = set()

    def is_known(self, name: str) -> bool:
        """Whether it was seen; it is now."""
        if time.monotonic() - self._turned > self._span_s:
            self._older, self._newer, self._turned = self._newer, set(), time.monotonic()
        if name in self._newer or name in self._older:
            return True
        self._newer.add(name)
        return False


@dataclass
class Engine:
    region: str
    region_key: str
    network: Network
    publish: Publish
    clock: CoreClock = field(default_factory=CoreClock)
    canaries: Canaries = field(default_factory=lambda: Canaries(()))
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.worker_id = uuid.uuid4().hex[:12]
        self.dropped: Counter[str] = Counter()
        self._loop = uvloop.new_event_loop()
        self._room = threading.Semaphore(self.limits.accepted)
        self._queue = FairQueue(self.limits.per_host)
        self.loop_lag = LoopLag(self.limits.running)
        signer = wire.Signer(self.region, self.region_key, self.worker_id)
        self._sender = Sender(signer, self.publish, self.clock.now_ms, self.count_dropped)
        self._jobs: dict[asyncio.Task[None], wire.Job] = {}
        """Under way."""
        self._starting: dict[int, list[wire.Job]] = {}
        """By the moment of their start."""
        self._stopping = False
        self._ending = asyncio.Event()
        self._verdicts: dict[str, Verdict] = {}
        self._recent = Recent()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)

    # --- called from other threads

    def start(self) -> None:
        self._sender.start()
        self._thread.start()

    def submit(self, jobs: Sequence[dict[str, Any]], sent_at: int) -> None:
        """Hand a batch over. Blocks while the process holds all it may: the batch stays in the queue's order."""
        self.clock.observe(sent_at)
        metrics.QUEUE_LAG.labels(wire.queue_of(self.region)).set(max(0, self.clock.now_ms() - sent_at) / 1000)
        if not jobs:
            return
        if not self.clock.is_settled():
            self.count_dropped("clock", len(jobs))
            return
        if self.clock.now_ms() - sent_at > wire.EXPIRES_MS:
            self.count_dropped("expired", len(jobs))
            return
        for _ in jobs:
            self._room.acquire()
        self._loop.call_soon_threadsafe(self._accept, list(jobs))

    def stop(self) -> None:
        """Finish what runs, give up what waits, send everything; at most some twelve seconds."""
        self._loop.call_soon_threadsafe(self._begin_stop)
        self._thread.join(_STOP_S)
        self._sender.stop(_UNSENT_S)

    def describe_standstill(self, stood_still_s: float) -> wire.Standstill:
        """What the loop is at, as seen from another thread while it does not come back."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        task = asyncio.current_task(self._loop)
        job = self._jobs.get(task) if task is not None else None
        report = wire.Standstill(stood_still_s=stood_still_s, stack=stack[-20_000:])
        if job is None:
            return report
        name = {"check": uuid.UUID(job.check)} if job.trial is None else {"trial": uuid.UUID(job.trial)}
        return msgspec.structs.replace(report, **name, revision=job.revision, slot=job.slot, kind=job.kind)

    def report_standstill(self, report: wire.Standstill) -> None:
        """Send the report, within seconds; the loop is not asked."""
        self._sender.add(wire.encode_report(report))
        self._sender.stop(_UNSENT_S)

    # --- the loop

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        heart = self._loop.create_task(self._report_forever())
        lag = self._loop.create_task(self.loop_lag.beat_forever(lambda: self._queue.running, self._on_beat))
        await self._ending.wait()
        heart.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=_STOP_S - 4)
        for task in self._jobs:
            task.cancel()
        lag.cancel()
        await asyncio.gather(heart, lag, *self._jobs, return_exceptions=True)
        await self.canaries.close()
        await self.network.close()

    def _begin_stop(self) -> None:
        self._stopping = True
        for _ in self._queue.expired(2**63):
            self._drop("stopping")
        self._ending.set()

    def _accept(self, raws: list[dict[str, Any]]) -> None:
        now, grid_ms = self.clock.now_ms(), _GRID_MS if len(raws) >= wire.MAX_JOBS else 1
        for raw in raws:
            try:
                job = wire.parse_job(raw, region_key=self.region_key, region=self.region)
            except wire.WireError as error:
                self._drop("malformed")
                log.warning("a job was dropped: %s", error)
                continue
            wait_ms = 0 if job.trial else job.slot - now
            if wait_ms < -LATEST_START_MS or wait_ms > _STARTED_EARLY_MS:
                self._drop("late" if wait_ms < 0 else "early")
            elif self._stopping:
                self._drop("stopping")
            elif not job.trial and self._recent.is_known(f"{job.check}@{job.slot}"):
                self._drop("repeated")  # a message published twice: a slot runs once
            else:
                moment = now if job.trial else max(now, -(-job.slot // grid_ms) * grid_ms)
                if moment not in self._starting:
                    self._starting[moment] = []
                    self._loop.call_later((moment - now) / 1000, self._begin, moment)
                self._starting[moment].append(job)

    def _begin(self, moment: int) -> None:
        for job in self._starting.pop(moment):
            if self._stopping:
                self._drop("stopping")
            else:
                self._queue.add(job)
        self._start_waiting()

    def _start_waiting(self) -> None:
        """As many as may run now; of the others, what waits for too long is dropped."""
        while not self._stopping and (job := self._queue.take(self.loop_lag.allowed)) is not None:
            if not job.trial and self.clock.now_ms() - job.slot > LATEST_START_MS:
                self._queue.done(job)
                self._drop("late")
                continue
            task = self._loop.create_task(self._run(job))
            self._jobs[task] = job
            task.add_done_callback(partial(self._done, job))

    def _on_beat(self) -> None:
        health.LOOPS.turned("probe", within_s=5)
        metrics.IN_FLIGHT.set(self._queue.running)
        metrics.LOOP_LAG.set(self.loop_lag.lag_s)
        for _ in self._queue.expired(self.clock.now_ms() - LATEST_START_MS):
            self._drop("late")
        self._start_waiting()

    def _drop(self, why: str) -> None:
        self.count_dropped(why)
        self._room.release()

    def count_dropped(self, why: str, number: int = 1) -> None:
        """Slots that were given up."""
        self.dropped[why] += number
        metrics.SLOTS_DROPPED.labels(why).inc(number)

    def _done(self, job: wire.Job, task: asyncio.Task[None]) -> None:
        self._jobs.pop(task, None)
        self._queue.done(job)
        self._room.release()
        self._start_waiting()

    async def _run(self, job: wire.Job) -> None:
        started_at = self.clock.now_ms()
        began, began_at = self._loop.time(), time.monotonic()
        result = await runner.run(job, self.network, started_at)
        if _speaks_against(result.outcome):
            stood_still_s = self.loop_lag.worst_between(began_at, time.monotonic())
            if _may_be_ours(result, stood_still_s):
                result = replace(result, outcome=_too_busy(result.outcome, stood_still_s))
            elif not await self.canaries.were_reachable(since=began):
                result = replace(result, outcome=_unreachable(result.outcome))
        outcome = result.outcome
        run = wire.Run(
            check=uuid.UUID(job.check),
            revision=job.revision,
            slot=job.slot,
            started_at=started_at,
            duration_ms=result.duration_ms,
            verdict=outcome.verdict,
            reason=outcome.reason,
            message=outcome.message,
            facts=outcome.facts,
        )
        if job.trial is not None:
            self._sender.add(wire.encode_trial_answer(job.trial, run))
            return
        if outcome.message == runner.OUR_FAULT:
            self.dropped[wire.OUR_FAULTS] += 1
        is_news = self._verdicts.get(job.check) != outcome.verdict
        if is_news:
            self._remember(job.check, outcome.verdict)
        self._sender.add_run(wire.encode_run(run), is_news=is_news)
        metrics.CHECKS_PROCESSED.labels(job.kind, outcome.verdict.value).inc()
        metrics.LATENESS.observe((started_at - job.slot) / 1000)
        if outcome.verdict == Verdict.DOWN and outcome.reason is not None:
            metrics.CHECKS_FAILED.labels(job.kind, outcome.reason.value).inc()

    def _remember(self, check: str, verdict: Verdict) -> None:
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        self._verdicts[check] = verdict

    async def _report_forever(self) -> None:
        """A heartbeat proves that the very loop that probes is alive."""
        while True:
            await self.canaries.reach_any(since=self._loop.time())
            heartbeat = wire.Heartbeat(
                is_settled=self.clock.is_settled(),
                offset_ms=self.clock.measured_ms,
                in_flight=self._queue.running,
                dropped=dict(self.dropped),
                canaries=self.canaries.seen,
                lag_ms=int(self.loop_lag.lag_s * 1000),
                pid=os.getpid(),
            )
            self._sender.add(wire.encode_report(heartbeat))
            await asyncio.sleep(HEARTBEAT_S)


def _speaks_against(outcome: Outcome) -> bool:
    """Whether it tells of a failure; one that was expected is told as up."""
    return outcome.verdict in (Verdict.DOWN, Verdict.DEGRADED) or "expected_failure" in outcome.facts


def _may_be_ours(result: runner.Result, stood_still_s: float) -> bool:
    """Whether the failure may come of the loop's standing still."""
    if result.outcome.reason in _LEFT:
        return stood_still_s > _PATIENCE_S
    return result.outcome.reason in _TIMED and stood_still_s > _SHARE_STOOD * result.duration_ms / 1000


def _unreachable(outcome: Outcome) -> Outcome:
    """What was seen through a link that reaches nothing at all is no news of the target."""
    seen = {"reason": outcome.reason, "message": outcome.message}
    facts = {**outcome.facts, "seen_without_network": seen}
    return Outcome.because(Reason.INTERNAL, "this probe worker reaches none of its canaries: its own network is down", facts)


def _too_busy(outcome: Outcome, stood_still_s: float) -> Outcome:
    """What a loop timed that could not look at the clock is no news of the target."""
    facts = {**outcome.facts, "seen_too_late": {"reason": outcome.reason, "message": outcome.message}}
    words = f"this probe worker was too busy to tell: its loop stood still for {stood_still_s * 1000:.0f} ms"
    return Outcome.because(Reason.INTERNAL, words, facts)
