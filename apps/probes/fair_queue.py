"""Jobs whose time has come, until they may run: tenants take turns, and no host is stormed. Pure bookkeeping, no clock.

A tenant whose targets all hang holds its runs for their whole timeout; the room that is left is for the others.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import urlsplit

from apps.probes.wire import Job

TENANT_SHARE = 0.75
"""Of the runs that may be under way, what one tenant may hold."""


@lru_cache(maxsize=50_000)
def host_of(target: str) -> str:
    """What a limit per host counts by: the host of a URL or of `host:port`, else the name itself."""
    try:
        host = urlsplit(target if "://" in target else f"//{target}").hostname
    except ValueError:
        host = None
    return host or target


class FairQueue:
    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        """By tenant; the one whose turn it is stands first."""
        self._held: dict[str, deque[Job]] = {}
        """By host: its limit is reached."""
        self._of_tenant: Counter[str] = Counter()
        self._of_host: Counter[str] = Counter()
        self._only: str | None = ""
        """The only tenant that was ever seen, who may take everything; None once there were two."""
        self.running = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + sum(map(len, self._held.values()))

    def add(self, job: Job) -> None:
        if self._only != job.tenant:
            self._only = job.tenant if self._only == "" else None
        self._waiting.setdefault(job.tenant, deque()).append(job)

    def take(self, allowed: int) -> Job | None:
        """The next that may run while so many may; it counts as running until `done`."""
        if self.running >= allowed:
            return None
        most = allowed if self._only is not None else max(1, int(allowed * TENANT_SHARE))
        for tenant in list(self._waiting):
            if self._of_tenant[tenant] >= most:
                continue
            job = self._runnable(tenant)
            if job is not None:
                self._count(job, 1)
                return job
        return None

    def _runnable(self, tenant: str) -> Job | None:
        """The tenant's next whose host has room. Those passed over wait for their host; the tenant goes to the end."""
        jobs = self._waiting[tenant]
        found = None
        while jobs and found is None:
            job = jobs.popleft()
            host = host_of(job.target)
            if self._of_host[host] < self._per_host:
                found = job
            else:
                self._held.setdefault(host, deque()).append(job)
        if jobs:
            self._waiting.move_to_end(tenant)
        else:
            del self._waiting[tenant]
        return found

    def done(self, job: Job) -> None:
        """It ended: who waits for its host is next of its tenant."""
        self._count(job, -1)
        host = host_of(job.target)
        held = self._held.get(host)
        if held:
            following = held.popleft()
            self._waiting.setdefault(following.tenant, deque()).appendleft(following)
            if not held:
                del self._held[host]

    def expired(self, before: int) -> Iterator[Job]:
        """Takes out those whose slot lies before a moment. They came in the order of their slots; trials among them stay."""
        for queues in (self._waiting, self._held):
            for name in list(queues):
                jobs, trials = queues[name], []
                while jobs and (jobs[0].trial is not None or jobs[0].slot < before):
                    job = jobs.popleft()
                    if job.trial is None:
                        yield job
                    else:
                        trials.append(job)
                jobs.extendleft(reversed(trials))
                if not jobs:
                    del queues[name]

    def _count(self, job: Job, change: int) -> None:
        self.running += change
        for counter, key in ((self._of_tenant, job.tenant), (self._of_host, host_of(job.target))):
            counter[key] += change
            if not counter[key]:
                del counter[key]
