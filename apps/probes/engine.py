"""The one event loop of a probe worker: takes batches, starts each job at its slot, sends what was seen.

Runs in a thread of its own; the Celery task only hands batches over. Everything that leaves is put together on the loop, so
a heartbeat proves that the very loop that probes is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from apps.net.network import Network
from apps.probes import runner, wire
from apps.probes.canary import Canaries
from apps.probes.clock import CoreClock
from apps.probes.contract import Outcome
from apps.probes.reasons import Reason, Verdict

log = logging.getLogger(__name__)

FLUSH_S, NEWS_S = 0.2, 0.02
"""How long results wait for others to go with them: those that only say the same again, and those that say something new."""
HEARTBEAT_S = 5.0
LATEST_START_MS = 2_000
_STARTED_EARLY_MS = 15_000
_BUFFERED_RUNS = 200_000
_STOP_S = 12.0
_REMEMBERED = 200_000

Publish = Callable[[bytes], None]
"""Sends one message; blocks until the broker has it, and retries for as long as that takes."""


@dataclass(frozen=True)
class Limits:
    """What one process may hold: running jobs are sockets and memory, accepted ones wait for their slot."""

    running: int = 5_000
    accepted: int = 20_000


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
        self._loop = asyncio.new_event_loop()
        self._accepted = 0
        self._running = 0
        self._room = threading.Semaphore(self.limits.accepted)
        self._results: deque[bytes] = deque()
        self._answers: deque[dict[str, Any]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._ending = asyncio.Event()
        self._news = asyncio.Event()
        self._verdicts: dict[str, Verdict] = {}
        self._recent = Recent()
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)

    # --- called from other threads

    def start(self) -> None:
        self._thread.start()

    def submit(self, jobs: Sequence[dict[str, Any]], sent_at: int) -> None:
        """Hand a batch over. Blocks while the process holds all it may: the batch stays in the queue's order."""
        self.clock.observe(sent_at)
        if not jobs:
            return
        if not self.clock.is_settled():
            self.dropped["clock"] += len(jobs)
            return
        if self.clock.now_ms() - sent_at > wire.EXPIRES_MS:
            self.dropped["expired"] += len(jobs)
            return
        for _ in jobs:
            self._room.acquire()
        self._loop.call_soon_threadsafe(self._accept, list(jobs))

    def stop(self) -> None:
        """Finish what runs, give up what waits, send everything; at most some twelve seconds."""
        self._loop.call_soon_threadsafe(self._begin_stop)
        self._thread.join(_STOP_S + 3)

    # --- the loop

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        flusher = self._loop.create_task(self._flush_forever())
        heart = self._loop.create_task(self._beat_forever())
        await self._ending.wait()
        heart.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_STOP_S - 4)
        for task in self._tasks:
            task.cancel()
        flusher.cancel()
        await asyncio.gather(flusher, heart, *self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(3):
                await self._send_all()
        except TimeoutError:
            log.warning("stopped with %d results unsent: the broker is away", len(self._results))
        await self.canaries.close()
        await self.network.close()

    def _begin_stop(self) -> None:
        self._stopping = True
        self._ending.set()

    def _accept(self, raws: list[dict[str, Any]]) -> None:
        now = self.clock.now_ms()
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
                self._loop.call_later(max(0, wait_ms) / 1000, self._begin, job)

    def _begin(self, job: wire.Job) -> None:
        late_ms = 0 if job.trial else self.clock.now_ms() - job.slot
        if self._stopping:
            self._drop("stopping")
        elif late_ms > LATEST_START_MS:
            self._drop("late")
        elif self._running >= self.limits.running:
            self._loop.call_later(0.05, self._begin, job)  # full: tried again until it is too late
        else:
            self._running += 1
            task = self._loop.create_task(self._run(job))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _drop(self, why: str) -> None:
        self.dropped[why] += 1
        self._room.release()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._running -= 1
        self._room.release()

    async def _run(self, job: wire.Job) -> None:
        started_at = self.clock.now_ms()
        began = self._loop.time()
        result = await runner.run(job, self.network, started_at)
        if _speaks_against(result.outcome) and not await self.canaries.were_reachable(since=began):
            result = replace(result, outcome=_unreachable(result.outcome))
        outcome = result.outcome
        if job.trial is not None:
            self._answers.append({"type": "trial", "trial": job.trial, **_answer(result)})
            self._news.set()
            return
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
        if len(self._results) >= _BUFFERED_RUNS:
            self._results.popleft()
            self.dropped["unsent"] += 1
        self._results.append(wire.encode_run(run))
        if self._verdicts.get(job.check) != outcome.verdict:
            self._remember(job.check, outcome.verdict)
            self._news.set()

    def _remember(self, check: str, verdict: Verdict) -> None:
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        self._verdicts[check] = verdict

    # --- what leaves

    async def _flush_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._news.wait()
            await asyncio.sleep(NEWS_S)
            self._news.clear()
            try:
                await self._send_all()
            except Exception:
                log.exception("results could not be sent; the loop goes on with the next")

    async def _send_all(self) -> None:
        """What is there now: to go on with what comes meanwhile would make a message of every run.

        What is not sent because of cancellation goes back in order.
        """
        left = len(self._results)
        while left > 0:
            taken = [self._results.popleft() for _ in range(min(wire.RUNS, left))]
            left -= len(taken)
            try:
                await self._send(wire.runs_body(taken))
            except asyncio.CancelledError:
                self._results.extendleft(reversed(taken))
                raise
        while self._answers:
            await self._send(msgspec.json.encode(self._answers.popleft()))

    async def _beat_forever(self) -> None:
        while True:
            await self.canaries.reach_any(since=self._loop.time())
            report = {
                "type": "heartbeat",
                "worker": self.worker_id,
                "pid": os.getpid(),
                "version": wire.VERSION,
                "is_settled": self.clock.is_settled(),
                "offset_ms": self.clock.measured_ms,
                "in_flight": self._running,
                "dropped": dict(self.dropped),
                "canaries": self.canaries.seen,
            }
            await self._send(msgspec.json.encode(report))
            await asyncio.sleep(HEARTBEAT_S)

    async def _send(self, body: bytes) -> None:
        message = wire.sign(body, region=self.region, region_key=self.region_key, sent_at=self.clock.now_ms())
        await self._loop.run_in_executor(None, self.publish, message)


def _speaks_against(outcome: Outcome) -> bool:
    """Whether it tells of a failure; one that was expected is told as up."""
    return outcome.verdict in (Verdict.DOWN, Verdict.DEGRADED) or "expected_failure" in outcome.facts


def _unreachable(outcome: Outcome) -> Outcome:
    """What was seen through a link that reaches nothing at all is no news of the target."""
    seen = {"reason": outcome.reason, "message": outcome.message}
    facts = {**outcome.facts, "seen_without_network": seen}
    return Outcome.because(Reason.INTERNAL, "this probe worker reaches none of its canaries: its own network is down", facts)


def _answer(result: runner.Result) -> dict[str, Any]:
    outcome = result.outcome
    reason = None if outcome.reason is None else {"code": outcome.reason, "message": outcome.message}
    facts = msgspec.Raw(wire.storable_facts(outcome.facts))
    return {"verdict": outcome.verdict, "reason": reason, "duration_ms": result.duration_ms, "facts": facts}
