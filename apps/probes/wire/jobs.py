"""Jobs from the core to the probe workers of a region: batches as arguments of the Celery task `probe.run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.probes.wire.errors import WireError
from apps.probes.wire.keys import seal, unseal

JOBS_VERSION = 1
TASK = "probe.run"
MAX_JOBS = 100
"""Jobs in one message."""
EXPIRES_MS = 5_000
"""Age after which a batch is not run any more."""


def queue_of(region: str) -> str:
    """Return the name of a region's queue."""
    return f"probe.{region}"


@dataclass(frozen=True)
class Job:
    """One run to perform. A trial has `trial` instead of check and slot, and does not affect any state."""

    check: str
    revision: int
    slot: int
    kind: str
    target: str
    options: dict[str, Any]
    timeout_ms: int
    baseline: dict[str, Any] | None = None
    trial: str | None = None
    retries: int = 0
    """Maximum number of further attempts within the run, for failures that may be temporary."""
    tenant: str = ""
    """Identifies the organization; used only by the fair queue."""


def batch_arguments(jobs: list[dict[str, Any]], *, sent_at: int) -> dict[str, Any]:
    """Return the keyword arguments of the Celery task."""
    return {"v": JOBS_VERSION, "sent_at": sent_at, "jobs": jobs}


def encode_job(job: Job, *, secrets: Mapping[str, Any] | None, region_key: str, region: str) -> dict[str, Any]:
    """Return a job as JSON data, its secret options sealed for one region."""
    options = dict(job.options)
    if secrets:
        name = job.check if job.trial is None else job.trial
        options["sealed"] = seal(secrets, region_key=region_key, check=name, revision=job.revision, region=region)
    message: dict[str, Any] = {
        "kind": job.kind,
        "target": job.target,
        "options": options,
        "timeout_ms": job.timeout_ms,
        "retries": job.retries,
        "tenant": job.tenant,
    }
    if job.trial is not None:
        return {**message, "trial": job.trial}
    return {**message, "check": job.check, "revision": job.revision, "slot": job.slot, "baseline": job.baseline}


def parse_job(raw: Mapping[str, Any], *, region_key: str, region: str) -> Job:
    """Decode a job and unseal its secret options. Raises WireError."""
    try:
        trial = raw.get("trial")
        name = str(raw["check"]) if trial is None else str(trial)
        revision = int(raw.get("revision", 0))
        options = dict(raw["options"])
        sealed = options.pop("sealed", None)
        if sealed is not None:
            options |= unseal(sealed, region_key=region_key, check=name, revision=revision, region=region)
        return Job(
            check=name,
            revision=revision,
            slot=int(raw["slot"]) if trial is None else 0,
            kind=str(raw["kind"]),
            target=str(raw["target"]),
            options=options,
            timeout_ms=int(raw["timeout_ms"]),
            baseline=raw.get("baseline"),
            trial=trial,
            retries=int(raw.get("retries", 0)),
            tenant=str(raw.get("tenant", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise WireError(f"a job cannot be read: {error!r}") from error
