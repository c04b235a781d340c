"""Run one job: enforce the deadline, retry, handle all exceptions and remove secrets from the outcome."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from apps.net.errors import length_words
from apps.net.network import Network
from apps.probes.contract import Facts, OptionError, Outcome, ProbeContext
from apps.probes.reasons import TRANSIENT, Reason, Verdict
from apps.probes.registry import KINDS
from apps.probes.wire import Job

log = logging.getLogger(__name__)
OUR_FAULT = "the probe failed; the worker's log tells why"
_BACKSTOP_S = 0.5
"""How long after the deadline a kind is cancelled that has not ended by itself."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
"""Upper bounds in seconds of the pause before the first retry, and of any pause."""
_WORTH_S = 0.1
"""With less time left than this, no further attempt is made."""
_SERVERS_FAULT = 500
_SCRUBBED, _SECRET_LENGTH = "[secret]", 6
"""The replacement for secrets, and the length below which a text is not replaced, because it could be a common word."""


@dataclass(frozen=True)
class Result:
    """The outcome of a job and its latency."""

    outcome: Outcome
    duration_ms: int
    """The latency to record: the duration of the run unless the kind reports another."""


Value = TypeVar("Value")
_REMEMBERED = 50_000
_options: dict[tuple[str, int], Any] = {}
_secrets: dict[tuple[str, int], Sequence[str]] = {}
"""Both by check and revision, since the options of a revision never change."""


def _remembered(kept: dict[tuple[str, int], Value], job: Job, made: Callable[[], Value]) -> Value:
    """Return the value cached for the job's revision, computing it once; trials have no revision and are not cached."""
    if job.trial is not None:
        return made()
    key = (job.check, job.revision)
    if key not in kept:
        if len(kept) >= _REMEMBERED:
            kept.clear()
        kept[key] = made()
    return kept[key]


async def run(job: Job, network: Network, now_ms: int) -> Result:
    """Run a job that starts at `now_ms` (the core's epoch milliseconds). Raises nothing but CancelledError.

    A failure that may be temporary is retried up to `job.retries` times within the timeout. Pauses double and use full
    jitter: each is drawn between zero and its upper bound. With several attempts the facts list all of them.
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
        if len(attempts) > job.retries or not _is_retryable(outcome) or loop.time() + pause_s + _WORTH_S > deadline:
            break
        await asyncio.sleep(pause_s)
    if len(attempts) > 1:
        outcome = outcome.seeing({**outcome.facts, "attempts": attempts})
    outcome = scrubbed(outcome, _remembered(_secrets, job, lambda: secrets_of(job)))
    took_ms = (loop.time() - started) * 1000
    return Result(outcome, int(took_ms if outcome.latency_ms is None else outcome.latency_ms))


def secrets_of(job: Job) -> list[str]:
    """Return the texts to be removed from outcomes, longest first.

    These are the secret options, their last words (the token in `Bearer …`), passwords in proxy URLs, and the Base64
    forms in which credentials are sent.
    """
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
    """Return the outcome with secrets replaced that the target may have echoed."""
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


def _is_retryable(outcome: Outcome) -> bool:
    """Tell whether a retry may help. HTTP statuses below 500 are not retried."""
    is_ours = outcome.reason == Reason.HTTP_STATUS and outcome.facts.get("status", 0) < _SERVERS_FAULT
    return outcome.verdict == Verdict.DOWN and outcome.reason in TRANSIENT and not is_ours


async def _attempt(job: Job, network: Network, now_ms: int, deadline: float) -> Outcome:
    """Run the kind once and turn exceptions into outcomes."""
    loop = asyncio.get_running_loop()
    try:
        kind = KINDS[job.kind]
        if kind.run is None:
            raise KeyError(job.kind)
        options = _remembered(_options, job, lambda: kind.parse(job.target, job.options))
        # A kind should end at its deadline by itself, reporting what it saw; this catches one that does not.
        async with asyncio.timeout(deadline - loop.time() + _BACKSTOP_S):
            return await kind.run(options, deadline, ProbeContext(network, now_ms, job.baseline or {}, job.tenant))
    except TimeoutError:
        return Outcome.because(Reason.READ_TIMEOUT, f"no outcome after {length_words(job.timeout_ms / 1000)}")
    except OptionError as error:
        return Outcome.because(Reason.INTERNAL, f"this worker cannot read the check: {error}")
    except KeyError:
        return Outcome.because(Reason.INTERNAL, f"this worker has no kind {job.kind!r}")
    except Exception:  # a bug in a kind must not affect other jobs
        log.exception("check %s: the probe failed", job.check)
        return Outcome.because(Reason.INTERNAL, OUR_FAULT)
