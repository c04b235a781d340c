"""Queue of jobs that are due and wait for permission to run: fair between tenants, with a limit per host. No clock.

A tenant whose targets all time out occupies its runs for the whole timeout; its share is limited, so that the other
tenants' jobs still run.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import urlsplit

from apps.probes.wire import Job

TENANT_SHARE = 0.75
"""The largest share of concurrent runs that one tenant may occupy, as soon as there are several tenants."""


@lru_cache(maxsize=50_000)
def host_of(target: str) -> str:
    """Return the key for the limit per host: the host of a URL or of `host:port`, else the target itself."""
    try:
        host = urlsplit(target if "://" in target else f"//{target}").hostname
    except ValueError:
        host = None
    return host or target


class FairQueue:
    """The waiting jobs of one worker, and counts of the running ones by tenant and by host."""

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        """By tenant; the tenant whose turn it is comes first."""
        self._held: dict[str, deque[Job]] = {}
        """By host: jobs whose host has reached its limit."""
        self._of_tenant: Counter[str] = Counter()
        self._of_host: Counter[str] = Counter()
        self._only: str | None = ""
        """The only tenant seen so far, to which `TENANT_SHARE` does not apply. Empty at first; None after a second one.
        """
        self.running = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + sum(map(len, self._held.values()))

    def add(self, job: Job) -> None:
        if self._only != job.tenant:
            self._only = job.tenant if self._only == "" else None
        self._waiting.setdefault(job.tenant, deque()).append(job)

    def take(self, allowed: int) -> Job | None:
        """Return the next job if fewer than `allowed` are running, else None. It counts as running until `done`."""
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
        """Return the tenant's next job whose host is below its limit, or None; move the tenant to the end.

        Jobs that are skipped are kept in `_held` until a run for their host ends.
        """
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
        """Record that a job ended; the next job held for its host becomes the first of its tenant."""
        self._count(job, -1)
        host = host_of(job.target)
        held = self._held.get(host)
        if held:
            following = held.popleft()
            self._waiting.setdefault(following.tenant, deque()).appendleft(following)
            if not held:
                del self._held[host]

    def expired(self, before: int) -> Iterator[Job]:
        """Remove and yield the jobs whose slot is before `before`. Trials have no slot and stay.

        Assumes that jobs were added in the order of their slots.
        """
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
