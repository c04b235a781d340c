"""Derive outcomes from facts, for all kinds. Pure. Messages contain the observed value in brackets.

A finding is an outcome that speaks against the target, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apps.probes import conditions
from apps.probes.certificates import first_to_expire
from apps.probes.conditions import Condition
from apps.probes.contract import Facts, Outcome
from apps.probes.json_paths import Budget
from apps.probes.reasons import Reason, Verdict

DAY_MS = 86_400_000
_NOT_LOOKED_AT = frozenset({Reason.BLOCKED_ADDRESS, Reason.REDIRECT_BLOCKED, Reason.PROXY_FAILED})


def slow(latency_ms: float, degraded_ms: int | None, facts: Facts) -> Outcome | None:
    """Return a degraded outcome if the latency exceeds `degraded_ms`."""
    if degraded_ms is None or latency_ms <= degraded_ms:
        return None
    return Outcome.because(Reason.TOO_SLOW, f"took {latency_ms:.0f} ms, longer than {degraded_ms} ms", facts)


def status(code: int, accepted: tuple[str, ...], *, with_credentials: bool, facts: Facts) -> Outcome | None:
    """Return a down outcome if the HTTP status is in none of the accepted ranges (`200-299`, `404`)."""
    if any(_in_range(code, item) for item in accepted):
        return None
    message = f"answered {code}, expected {' or '.join(item.replace('-', '–') for item in accepted)}"
    if code == 429:
        return Outcome.because(Reason.RATE_LIMITED, message, facts)
    if code == 401 and with_credentials:
        return Outcome.because(Reason.AUTH_FAILED, message, facts)
    return Outcome.because(Reason.HTTP_STATUS, message, facts)


def too_slow(latency_ms: float, down_ms: int | None, facts: Facts) -> Outcome | None:
    """Return a down outcome if the latency exceeds `down_ms`."""
    late = slow(latency_ms, down_ms, facts)
    return late and late.judged(Verdict.DOWN)


def forbidden(body: str, unwanted: str, read_bytes: int, facts: Facts) -> Outcome | None:
    """Return a down outcome if the body contains the unwanted text (case-sensitive)."""
    if not unwanted or unwanted not in body:
        return None
    return Outcome.because(Reason.BODY_FORBIDDEN, f"the body contains {unwanted!r} ({read_bytes} bytes read)", facts)


def keyword(body: str, wanted: str, read_bytes: int, facts: Facts) -> Outcome | None:
    """Return a down outcome if the body does not contain the keyword (case-sensitive)."""
    if not wanted or wanted in body:
        return None
    return Outcome.because(Reason.BODY_MISMATCH, f"the body does not contain {wanted!r} ({read_bytes} bytes read)", facts)


def contains(name: str, value: str, wanted: str, facts: Facts) -> Outcome | None:
    """Return a down outcome if the fact does not contain a text (case-insensitive)."""
    if wanted.lower() in value.lower():
        return None
    return Outcome.because(Reason.ASSERTION_FAILED, f"{name} is {value!r} and does not contain {wanted!r}", facts)


def failed(assertions: Sequence[str], latency_ms: float | None, facts: Facts, now_ms: int) -> Iterator[Outcome]:
    """Yield a down outcome for each assertion that does not hold for these facts."""
    if assertions:
        values = asserted(facts, latency_ms, now_ms)
        yield from failed_of(assertions, lambda condition: values.get(condition.fact), facts)


def failed_of(
    assertions: Sequence[str], look: Callable[[Condition], Any], facts: Facts, budget: Budget | None = None
) -> Iterator[Outcome]:
    """Yield a down outcome for each assertion that does not hold; `look` returns the observed value for a condition.

    All share the budget, by default one that does not hold the event loop.
    """
    shared = budget or Budget()
    for condition in conditions.parse_lines(assertions):
        failure = condition.failure(look(condition), shared)
        if failure is not None:
            yield Outcome.because(condition.reason, failure, facts).judged(Verdict.DOWN)


def asserted(facts: Facts, latency_ms: float | None, now_ms: int) -> Facts:
    """Return the facts by the names that assertions use."""
    values: Facts = {**facts, **facts.get("phases_ms", {}), "latency": latency_ms}
    certificate = facts.get("certificate")
    if certificate:
        days = (first_to_expire(certificate, now_ms)[0] - now_ms) / DAY_MS
        values |= {"certificate.days": days, "certificate.issuer": certificate["issuer"]}
    return values


def upside_down(outcome: Outcome) -> Outcome:
    """Invert the outcome, for a target that must not answer.

    Outcomes that say nothing about the target (unknown, blocked address or redirect, failed proxy) are returned
    unchanged.
    """
    if outcome.verdict == Verdict.UNKNOWN or outcome.reason in _NOT_LOOKED_AT:
        return outcome
    if outcome.verdict == Verdict.DOWN:
        expected = {"reason": outcome.reason, "message": outcome.message}
        return Outcome(Verdict.UP, facts={**outcome.facts, "expected_failure": expected})
    return Outcome.because(Reason.ASSERTION_FAILED, "it is up, and this check is upside down", outcome.facts)


def first(*findings: Outcome | None, facts: Facts) -> Outcome:
    """Return the first finding, or the verdict up if there is none."""
    return next((finding for finding in findings if finding is not None), Outcome(Verdict.UP, facts=facts))


def _in_range(code: int, item: str) -> bool:
    low, dash, high = item.partition("-")
    return int(low) <= code <= int(high if dash else low)
