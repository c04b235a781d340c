"""Runs one job: owns the deadline and every exception, so that a kind only looks and judges."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from apps.net.network import Network
from apps.probes.contract import Kind, OptionError, Outcome, Scene
from apps.probes.reasons import Reason
from apps.probes.registry import KINDS
from apps.probes.wire import Job

log = logging.getLogger(__name__)
_BACKSTOP_S = 0.5


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    duration_ms: int


_REMEMBERED = 50_000
_options: dict[tuple[str, int], Any] = {}
"""By check and revision, whose options never change."""


def _parsed(kind: Kind, job: Job) -> Any:
    if job.trial is not None:
        return kind.parse(job.target, job.options)
    key = (job.check, job.revision)
    options = _options.get(key)
    if options is None:
        if len(_options) >= _REMEMBERED:
            _options.clear()
        options = _options[key] = kind.parse(job.target, job.options)
    return options


async def run(job: Job, network: Network, now_ms: int) -> Result:
    """The outcome of a job begun at `now_ms`, and how long it took. Raises nothing but cancellation."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    timeout_s = job.timeout_ms / 1000
    try:
        kind = KINDS[job.kind]
        if kind.run is None:
            raise KeyError(job.kind)
        options = _parsed(kind, job)
        # A kind ends by itself at its deadline, with what it saw; this is for one that does not.
        async with asyncio.timeout(timeout_s + _BACKSTOP_S):
            outcome = await kind.run(options, started + timeout_s, Scene(network, now_ms, job.baseline or {}))
    except TimeoutError:
        outcome = Outcome.because(Reason.READ_TIMEOUT, f"no outcome after {job.timeout_ms} ms")
    except OptionError as error:
        outcome = Outcome.because(Reason.INTERNAL, f"this worker cannot read the check: {error}")
    except KeyError:
        outcome = Outcome.because(Reason.INTERNAL, f"this worker has no kind {job.kind!r}")
    except Exception:  # whatever a probe does, the other jobs of the batch go on
        log.exception("check %s: the probe failed", job.check)
        outcome = Outcome.because(Reason.INTERNAL, "the probe failed; the worker's log tells why")
    return Result(outcome, int((loop.time() - started) * 1000))
