"""The real services (dispatch, ingest, sweeps, outbox, deliveries) with a virtual clock, broker and workers."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from apps.core.clock import from_ms
from apps.incidents.machine import State, derive, is_of_sequence
from apps.incidents.models import CheckState, Incident, IncidentEvent
from apps.incidents.rows import policy_of, state_of
from apps.incidents.services import check_commands
from apps.incidents.services.evaluate import evaluate_with_halving, unevaluated_checks
from apps.monitors import plans
from apps.monitors.check_spec import CheckSpec
from apps.monitors.due_checks import due_now
from apps.monitors.models import Check, Region
from apps.monitors.selectors import region_liveness
from apps.notifications.contract import Message, SendError
from apps.notifications.models import Delivery
from apps.notifications.registry import CHANNEL_KINDS
from apps.notifications.services import deliveries, outbox
from apps.notifications.services.channels import create_channel as create_notification_channel
from apps.orgs.actors import SYSTEM
from apps.pipeline import dispatch
from apps.pipeline.ingest import Memory, ingest
from apps.probes import wire
from apps.probes.reasons import Reason, Verdict
from apps.results.models import VERDICTS, CheckRun
from tests.conftest import NOW_MS, Cast
from tests.simulation.fault_injection import Crash, FaultInjection

LIVELY_S, QUIET_S = (10, 40), 30
"""The shortest and longest period with faults, and the length of the calm period after it, in seconds."""


@dataclass
class Site:
    """A check, the true outages of its target (spans of epoch milliseconds), and the last state that was verified."""

    check: Check
    outages: list[tuple[int, int]]
    state: State

    def is_down(self, at: int) -> bool:
        return any(start <= at < end for start, end in self.outages)


@dataclass
class Worker:
    """The simulated probe worker of a region; during `silent` it neither probes nor sends heartbeats."""

    region: Region
    silent: tuple[int, int]
    is_blind: bool
    """Whether it reports every target as down."""
    seen: set[tuple[str, int]] = field(default_factory=set)


class World:
    """One seeded history: virtual clock (`now`, epoch milliseconds), sites, workers and messages under way."""

    def __init__(self, cast: Cast, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._signers: dict[str, wire.Signer] = {}
        self.faults = faults = FaultInjection(seed)
        # Ids decide the phase of a check and the order of rows of the same moment, and retries are jittered: all of it
        # must come from the seed, or a history could not be repeated.
        ids, here, given = random.Random(seed), threading.get_ident(), uuid.uuid4

        def made_id() -> uuid.UUID:
            if threading.get_ident() != here:
                return given()  # a thread left by an earlier test must not consume the seed's ids
            return uuid.UUID(int=ids.getrandbits(128), version=4)

        monkeypatch.setattr(uuid, "uuid4", made_id)
        monkeypatch.setattr(plans, "_plans", {})  # a cache by check id: only here do ids repeat
        for model in (Incident, Delivery):
            monkeypatch.setattr(model._meta.get_field("id"), "_get_default", made_id)
        monkeypatch.setattr(deliveries, "random", random.Random(seed))
        monkeypatch.setattr(deliveries, "time", SimpleNamespace(monotonic=lambda: 0.0))  # a send takes no time
        self.now, self.calm_from = NOW_MS, NOW_MS + faults.between(*LIVELY_S) * 1000
        self.end = self.calm_from + QUIET_S * 1000
        self.memory = Memory()
        self.letters: list[tuple[int, bytes]] = []
        """Messages on their way to ingest, as (arrival, message)."""
        self.batches: list[tuple[str, dict[str, Any]]] = []
        self.last_notified: list[Message] = []
        self.may_repeat: set[str] = set()
        """Keys of messages whose sender died between sending one and noting that it was sent."""
        self.core_silent = faults.span(NOW_MS, self.calm_from, 0.15, 25)
        slugs = ["eu", "us"][: faults.between(1, 2)]
        self.workers = {
            slug: Worker(
                cast.regions[slug], faults.span(NOW_MS, self.calm_from, 0.15, 30), is_blind=len(slugs) > 1 and faults.chance(0.05)
            )
            for slug in slugs
        }
        monkeypatch.setattr(dispatch, "current_app", _Broker(self))
        monkeypatch.setitem(CHANNEL_KINDS, "webhook", replace(CHANNEL_KINDS["webhook"], send=self._receive))
        config = {"url": "http://127.0.0.1:9/", "secret": "0123456789abcdef"}
        create_notification_channel(
            actor=SYSTEM, now=from_ms(NOW_MS), project=cast.project, name="ops", kind="webhook", config=config
        )
        self.sites = [self._site(cast, index, slugs) for index in range(faults.between(1, 2))]

    def _site(self, cast: Cast, index: int, slugs: list[str]) -> Site:
        faults = self.faults
        spec = CheckSpec(
            name=f"site {index}", kind="http", target="http://127.0.0.1:1/", options={}, interval_s=5, timeout_s=3,
            regions=tuple(slugs), quorum=faults.random.choice([None, None, len(slugs)]),
            fail_after=faults.between(1, 2), recover_after=faults.between(1, 2),
        )  # fmt: skip
        check = check_commands.create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=from_ms(self.now))
        outages, at = [], self.now + faults.between(0, 30) * 1000
        while at < self.calm_from:
            length = faults.between(2, 30) * 1000
            outages.append((at, min(at + length, self.calm_from)))
            at += length + faults.between(10, 40) * 1000
        self.batches.clear()
        dispatch.send([due] if (due := due_now(check_id=check.id, revision=1, slot=self.now)) else [], now_ms=self.now)
        return Site(check, outages, state_of(CheckState.objects.get(pk=check.pk)))

    # --- the simulation

    def run(self) -> None:
        for second in range((self.end - NOW_MS) // 1000):
            self.now = NOW_MS + second * 1000
            self._beat(second)
            if not self.core_silent[0] <= self.now < self.core_silent[1]:
                if second % 2 == 0:
                    self._alive(lambda: dispatch.send_due(now=from_ms(self.now)))
                self._probe()
                self._take_letters()
                if second % 4 == 1:
                    self._alive(self._sweep)
                    self._follow()
                if second % 6 == 1:
                    self._alive(self._notify)
            self.batches.clear()
        self.now = self.end
        self._sweep()
        self._follow()
        for _ in range(12):  # no wake-ups: a sweep sends one message of a check; a lease may have to end
            self.now += 20_000
            self._notify()

    def _alive(self, work: Callable[[], Any]) -> bool:
        """Do the work in a process that may die, which loses ingest's memory; return whether it survived."""
        try:
            with self.faults.dying() if self.now < self.calm_from else nullcontext():
                work()
        except Crash:
            self.memory = Memory()
            return False
        return True

    def _beat(self, second: int) -> None:
        for slug, worker in self.workers.items():
            if second % 5 == 0 and not worker.silent[0] <= self.now < worker.silent[1]:
                report = {"type": "heartbeat", "is_settled": True, "offset_ms": 0, "in_flight": 0, "dropped": {}}
                self._post(slug, json.dumps(report).encode(), self.now)

    def _probe(self) -> None:
        """Let the workers take their batches, run each slot once and send the results."""
        found: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        for queue, batch in self.batches:
            slug = queue.removeprefix("probe.")
            worker = self.workers.get(slug)
            if worker is None or self.faults.chance(self._wild(self.faults.loss)):
                continue
            for job in batch["jobs"]:
                name = (job["check"], job["slot"])
                if name not in worker.seen and not worker.silent[0] <= job["slot"] < worker.silent[1]:
                    worker.seen.add(name)
                    found[slug, job["slot"]].append(self._seen(worker, job))
        for (slug, slot), rows in found.items():
            self._post(slug, wire.runs_body(rows), slot + self.faults.between(50, 2_900))

    def _seen(self, worker: Worker, job: dict[str, Any]) -> bytes:
        site = next(site for site in self.sites if str(site.check.id) == job["check"])
        is_down = worker.is_blind or site.is_down(job["slot"])
        verdict, reason = (Verdict.DOWN, Reason.CONNECT_REFUSED) if is_down else (Verdict.UP, None)
        return wire.encode_run(
            wire.Run(site.check.id, job["revision"], job["slot"], job["slot"], 40, verdict, reason, "no" if is_down else "", {})
        )

    def _post(self, slug: str, body: bytes, at: int) -> None:
        signer = self._signers.setdefault(slug, wire.Signer(slug, self.workers[slug].region.key, slug))
        raw = signer.sign(body, sent_at=at)
        if self.faults.chance(self._wild(self.faults.loss)):
            return
        late = self.faults.between(1, 20) * 1000 if self.faults.chance(self._wild(self.faults.delay)) else 0
        self.letters.append((at + late, raw))
        if self.faults.chance(self._wild(self.faults.doubling)):
            self.letters.append((at + late + self.faults.between(0, 9_000), raw))

    def _wild(self, share: float) -> float:
        return share if self.now < self.calm_from else 0

    def _take_letters(self) -> None:
        arrived = [letter for letter in self.letters if letter[0] <= self.now]
        self.letters = [letter for letter in self.letters if letter[0] > self.now]
        self.faults.random.shuffle(arrived)
        for at, raw in arrived:
            if not self._alive(lambda raw=raw: ingest(raw, memory=self.memory, now=from_ms(self.now))):  # type: ignore[misc]
                self.letters.append((at, raw))  # not acknowledged, so it is redelivered
            self._follow()

    def _sweep(self) -> None:
        moment = from_ms(self.now)
        waiting = unevaluated_checks(now=moment)
        if waiting:
            evaluate_with_halving(check_ids=waiting, now=moment)

    def _notify(self) -> None:
        moment = from_ms(self.now)
        if not IncidentEvent.objects.exists():
            return
        outbox.expand_waiting(now=moment)
        for delivery in deliveries.take_unqueued_deliveries(now=moment):
            deliveries.deliver(delivery_id=delivery, now=moment)

    def _receive(self, _config: Any, message: Message) -> None:
        if self.faults.chance(self._wild(0.1)):
            raise SendError("not now", retry_after_s=2)
        if self.faults.chance(self._wild(self.faults.crash)):
            raise Crash  # before it was sent
        self.last_notified.append(message)
        if self.faults.chance(self._wild(self.faults.crash)):
            self.may_repeat.add(message.key)
            raise Crash

    # --- the invariant: after every step each state is one that the pure machine reaches from the recorded votes

    def _follow(self) -> None:
        for site in self.sites:
            actual = state_of(CheckState.objects.get(pk=site.check.pk))
            if actual != site.state:
                assert actual in self._reachable(site), f"{actual} does not follow from {site.state}"
                site.state = actual

    def _reachable(self, site: Site) -> list[State]:
        check, row = Check.objects.get(pk=site.check.pk), CheckState.objects.get(pk=site.check.pk)
        policy, votes = policy_of(check), defaultdict[int, dict[int, str]](dict)
        recorded: dict[int, int] = {}
        for run in CheckRun.objects.filter(check_id=check.pk, slot__gt=site.state.slot, revision=check.revision):
            if is_of_sequence(run.slot, policy, row.extras):
                votes[run.slot][run.region_id] = VERDICTS[run.verdict]
                recorded[run.slot] = min(recorded.get(run.slot, 2**62), run.slot + run.recorded_after_s * 1000)
        liveness = region_liveness()

        def live_at(slot: int) -> list[int]:
            return [region for region in check.region_ids if liveness[region].is_live(slot)]

        rows = {slot: (recorded[slot], sides) for slot, sides in votes.items()}
        # Evaluation reads all recorded rows, but may step a fresh vote of a single region alone: hence the prefixes.
        parts = [{slot: row for slot, row in rows.items() if slot <= last} for last in sorted(rows)]
        return [derive(site.state, part, policy, live_at=live_at, now=self.now, extras=row.extras)[0] for part in [rows, *parts]]


class _Broker:
    """A broker that keeps batches in the world instead of sending them, and asserts that no slot is sent twice."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.producer_pool = self
        self.connection = self
        self.channel = self
        self.channel_errors = (LookupError,)
        self._sent: set[tuple[str, str, int]] = set()

    def acquire(self, **_: object) -> Any:
        return nullcontext(self)

    def queue_declare(self, queue: str, *, passive: bool = False, **_: object) -> None:
        if passive:
            raise LookupError(queue)

    def send_task(self, _name: str, *, kwargs: dict[str, Any], queue: Any, **_: object) -> None:
        names = {(queue.name, job["check"], job["slot"]) for job in kwargs["jobs"]}
        assert not names & self._sent, "a slot was sent twice"
        self._sent |= names
        self._world.batches.append((queue.name, kwargs))
