"""Runs one job: owns the deadline and every exception, so that a kind only looks and judges."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from apps.net.network import Network
from apps.probes.contract import Facts, OptionError, Outcome, ProbeContext
from apps.probes.reasons import PASSING, Reason, Verdict
from apps.probes.registry import KINDS
from apps.probes.wire import Job

log = logging.getLogger(__name__)
OUR_FAULT = "the probe failed; the worker's log tells why"
_BACKSTOP_S = 0.5
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
"""The first pause before a further attempt, at the most, and the longest."""
_WORTH_S = 0.1
"""Less time left is not worth an attempt."""
_SERVERS_FAULT = 500
_SCRUBBED, _SECRET_LENGTH = "[secret]", 6
"""What stands in place of a secret; a shorter text is none, and would blot out words."""


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    duration_ms: int
    """The latency that is kept: how long it took, unless the kind says otherwise."""


Value = TypeVar("Value")
_REMEMBERED = 50_000
_options: dict[tuple[str, int], Any] = {}
_secrets: dict[tuple[str, int], Sequence[str]] = {}
"""By check and revision, whose options never change."""


def _remembered(kept: dict[tuple[str, int], Value], job: Job, made: Callable[[], Value]) -> Value:
    """What does not change within a revision, made once; a trial has none."""
    if job.trial is not None:
        return made()
    key = (job.check, job.revision)
    if key not in kept:
        if len(kept) >= _REMEMBERED:
            kept.clear()
        kept[key] = made()
    return kept[key]


async def run(job: Job, network: Network, now_ms: int) -> Result:
    """The outcome of a job begun at `now_ms`, and how long it took. Raises nothing but cancellation.

    A failure that may pass is tried again as often as the job allows, as long as its timeout lasts, after pauses that double,
    each drawn from nothing to its whole length ("full jitter"). Facts tell of every attempt when there was more than one.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    deadline = started + job.timeout_ms / 1000
    attempts: list[Facts] = []
    while True:
        began = loop.time()
        outcome = await _attempt(job, network, now_ms + int((began - started) * 1000), deadline)
        attempts.append({"reason": outcome.reason, "message": outcome.message, "took_ms": round((loop.time() - began) * 1000)})
        pause_s = random.uniform(0, min(_PAUSE_S * 2 ** (len(attempts) - 1), _LONGEST_PAUSE_S))  # spreads load
        if len(attempts) > job.retries or not _may_pass(outcome) or loop.time() + pause_s + _WORTH_S > deadline:
            break
        await asyncio.sleep(pause_s)
    if len(attempts) > 1:
        outcome = outcome.seeing({**outcome.facts, "attempts": attempts})
    outcome = scrubbed(outcome, _remembered(_secrets, job, lambda: secrets_of(job)))
    took_ms = (loop.time() - started) * 1000
    return Result(outcome, int(took_ms if outcome.latency_ms is None else outcome.latency_ms))


def secrets_of(job: Job) -> list[str]:
    """Texts that must not be shown again, the longest first: secrets, their last words, and what is sent of them."""
    kind = KINDS.get(job.kind)
    found: set[str] = set()
    for name in kind.secret_options if kind else ():
        value = job.options.get(name)
        for text in value.values() if isinstance(value, dict) else [value]:
            if isinstance(text, str):
                found |= {text, text.rpartition(" ")[2], text.rpartition("@")[0].rpartition(":")[2]}
    user, password = str(job.options.get("username", "")), str(job.options.get("password", ""))
    if user and password:
        found |= {_base64(f"{user}:{password}"), _base64(f"\0{user}\0{password}"), _base64(password)}
    return sorted((text for text in found if len(text) >= _SECRET_LENGTH), key=len, reverse=True)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def scrubbed(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """Without the secrets that a target echoed."""
    if not secrets:
        return outcome

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for secret in secrets:
                value = value.replace(secret, _SCRUBBED)
            return value
        if isinstance(value, dict):
            return {name: clean(inner) for name, inner in value.items()}
        return [clean(inner) for inner in value] if isinstance(value, list) else value

    return replace(outcome, message=clean(outcome.message), facts=clean(outcome.facts))


def _may_pass(outcome: Outcome) -> bool:
    """An answer that blames the client (4xx) stays the same."""
    is_ours = outcome.reason == Reason.HTTP_STATUS and outcome.facts.get("status", 0) < _SERVERS_FAULT
    return outcome.verdict == Verdict.DOWN and outcome.reason in PASSING and not is_ours


async def _attempt(job: Job, network: Network, now_ms: int, deadline: float) -> Outcome:
    loop = asyncio.get_running_loop()
    try:
        kind = KINDS[job.kind]
        if kind.run is None:
            raise KeyError(job.kind)
        options = _remembered(_options, job, lambda: kind.parse(job.target, job.options))
        # A kind ends by itself at its deadline, with what it saw; this is for one that does not.
        async with asyncio.timeout(deadline - loop.time() + _BACKSTOP_S):
            return await kind.run(options, deadline, ProbeContext(network, now_ms, job.baseline or {}))
    except TimeoutError:
        return Outcome.because(Reason.READ_TIMEOUT, f"no outcome after {job.timeout_ms} ms")
    except OptionError as error:
        return Outcome.because(Reason.INTERNAL, f"this worker cannot read the check: {error}")
    except KeyError:
        return Outcome.because(Reason.INTERNAL, f"this worker has no kind {job.kind!r}")
    except Exception:  # whatever a probe does, the other jobs of the batch go on
        log.exception("check %s: the probe failed", job.check)
        return Outcome.because(Reason.INTERNAL, OUR_FAULT)
