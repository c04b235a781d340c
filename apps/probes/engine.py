"""The event loop of a probe worker: accepts batches, starts each job at its slot and passes the results to `Sender`.

The loop runs in a thread of its own; the Celery task only hands batches over.
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

from apps.net.errors import length_words
from apps.net.network import Network
from apps.probes import runner, wire
from apps.probes.canary import Canaries
from apps.probes.contract import Outcome
from apps.probes.core_time import CoreClock
from apps.probes.fair_queue import FairQueue
from apps.probes.loop_lag import LoopLag
from apps.probes.reasons import Reason, Verdict
from apps.probes.sender import Publish, Sender
from apps.telemetry import health, metrics

log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
LATEST_START_MS = 2_000
"""A job that cannot start within this time after its slot is dropped."""
_STARTED_EARLY_MS = 15_000
"""A job whose slot is further in the future is dropped: one of the clocks is wrong."""
_STOP_S = 12.0
_UNSENT_S = 3.0
_GRID_MS, _GRID_FROM = 20, 20
"""In a batch of at least `_GRID_FROM` jobs, starts are rounded up to multiples of `_GRID_MS`.

Waking for every run costs half as much CPU again.
"""
_REMEMBERED = 200_000
"""Checks whose last verdict is kept."""
_TIMED = frozenset(
    {
        Reason.CONNECT_TIMEOUT, Reason.READ_TIMEOUT, Reason.DNS_TIMEOUT, Reason.TOO_SLOW, Reason.TLS_HANDSHAKE,
        Reason.PACKET_LOSS, Reason.PROXY_FAILED, Reason.ASSERTION_FAILED,
    }
)  # fmt: skip
"""Reasons that a blocked event loop can cause for a healthy target, because our own time limit expired."""
_LEFT = frozenset({Reason.CONNECTION_CLOSED, Reason.CONNECTION_RESET, Reason.TRUNCATED_BODY, Reason.DNS_MALFORMED})
"""Reasons that a blocked event loop can cause because the server's time limit expired.

Such limits are seconds: a server that closes the connection at once is down even if this worker is busy.
"""
_PATIENCE_S = 3.0
"""The loop must have been blocked for longer than this to explain a reason in `_LEFT`."""
_SHARE_STOOD = 0.2
"""The loop must have been blocked for more than this share of a run to explain a reason in `_TIMED`."""


@dataclass(frozen=True)
class Limits:
    """The limits of one process: `running` bounds sockets and memory, `accepted` all jobs that wait or run."""

    running: int = 5_000
    accepted: int = 20_000
    per_host: int = 100


class Recent:
    """Remembers names for one to two spans of `span_s` seconds, so memory is bounded by their rate."""

    def __init__(self, span_s: float = 10.0) -> None:
        self._span_s = span_s
        self._turned = time.monotonic()
        self._older: set[str] = set()
        self._newer: set[str] = set()

    def is_known(self, name: str) -> bool:
        """Tell whether the name was seen recently, and remember it."""
        if time.monotonic() - self._turned > self._span_s:
            self._older, self._newer, self._turned = self._newer, set(), time.monotonic()
        if name in self._newer or name in self._older:
            return True
        self._newer.add(name)
        return False


@dataclass
class Engine:
    """A probe worker's event loop with its queue, limits and sender. Start and stop it once."""

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
        """Jobs that are running."""
        self._starting: dict[int, list[wire.Job]] = {}
        """Jobs that wait for their slot, by the time of their start (the core's epoch milliseconds)."""
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
        """Accept a batch of jobs that the core sent at `sent_at` (epoch milliseconds).

        Blocks while the limit of accepted jobs is reached, so that further batches stay in the broker's queue.
        """
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
        """Drop waiting jobs, finish running ones (cancelled after 8 s) and send all results; takes up to 15 s."""
        self._loop.call_soon_threadsafe(self._begin_stop)
        self._thread.join(_STOP_S)
        self._sender.stop(_UNSENT_S)

    def describe_standstill(self, stood_still_s: float) -> wire.Standstill:
        """Describe what blocks the loop; called by the watchdog's thread while the loop does not respond."""
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
        """Send the report within three seconds, without using the blocked loop."""
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
        """Parse the jobs of a batch and schedule each for its slot; drop those that are invalid, late or duplicates."""
        now, grid_ms = self.clock.now_ms(), _GRID_MS if len(raws) >= _GRID_FROM else 1
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
                self._drop("repeated")  # the message was delivered twice
            else:
                moment = now if job.trial else max(now, -(-job.slot // grid_ms) * grid_ms)
                if moment not in self._starting:
                    self._starting[moment] = []
                    self._loop.call_later((moment - now) / 1000, self._begin, moment)
                self._starting[moment].append(job)

    def _begin(self, moment: int) -> None:
        """Put the jobs whose start is due into the queue."""
        for job in self._starting.pop(moment):
            if self._stopping:
                self._drop("stopping")
            else:
                self._queue.add(job)
        self._start_waiting()

    def _start_waiting(self) -> None:
        """Start as many waiting jobs as allowed; drop those that have waited too long."""
        while not self._stopping and (job := self._queue.take(self.loop_lag.allowed)) is not None:
            if not job.trial and self.clock.now_ms() - job.slot > LATEST_START_MS:
                self._queue.done(job)
                self._drop("late")
                continue
            task = self._loop.create_task(self._run(job))
            self._jobs[task] = job
            task.add_done_callback(partial(self._done, job))

    def _on_beat(self) -> None:
        """Report that the loop runs, drop late jobs and start waiting ones."""
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
        """Count slots that were dropped, by cause."""
        self.dropped[why] += number
        metrics.SLOTS_DROPPED.labels(why).inc(number)

    def _done(self, job: wire.Job, task: asyncio.Task[None]) -> None:
        self._jobs.pop(task, None)
        self._queue.done(job)
        self._room.release()
        self._start_waiting()

    async def _run(self, job: wire.Job) -> None:
        """Run one job and pass its result to the sender.

        A failure becomes unknown if this worker may have caused it: its loop was blocked, or it reaches no canary.
        """
        started_at = self.clock.now_ms()
        began, began_at = self._loop.time(), time.monotonic()
        result = await runner.run(job, self.network, started_at)
        if _speaks_against(result.outcome):
            stood_still_s = self.loop_lag.worst_between(began_at, time.monotonic())
            if _may_be_worker_fault(result, stood_still_s):
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
        """Send heartbeats. They come from the loop that runs the jobs and therefore prove that it is alive."""
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
    """Tell whether the run saw a failure, including one that an upside-down check reports as up."""
    return outcome.verdict in (Verdict.DOWN, Verdict.DEGRADED) or "expected_failure" in outcome.facts


def _may_be_worker_fault(result: runner.Result, stood_still_s: float) -> bool:
    """Tell whether the event loop was blocked for long enough to explain the failure."""
    if result.outcome.reason in _LEFT:
        return stood_still_s > _PATIENCE_S
    return result.outcome.reason in _TIMED and stood_still_s > _SHARE_STOOD * result.duration_ms / 1000


def _unreachable(outcome: Outcome) -> Outcome:
    """Return the outcome `unknown`: without a working network nothing is known about the target."""
    seen = {"reason": outcome.reason, "message": outcome.message}
    facts = {**outcome.facts, "seen_without_network": seen}
    return Outcome.because(Reason.INTERNAL, "this probe worker reaches none of its canaries: its own network is down", facts)


def _too_busy(outcome: Outcome, stood_still_s: float) -> Outcome:
    """Return the outcome `unknown`: times measured by a blocked loop say nothing about the target."""
    facts = {**outcome.facts, "seen_too_late": {"reason": outcome.reason, "message": outcome.message}}
    words = f"this probe worker was too busy to tell: its loop stood still for {length_words(stood_still_s)}"
    return Outcome.because(Reason.INTERNAL, words, facts)
