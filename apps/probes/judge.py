"""Facts to verdict: pure assertions shared by all kinds. Each prints the value that it saw in brackets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from apps.probes import conditions
from apps.probes.certificates import first_to_expire
from apps.probes.conditions import Condition
from apps.probes.contract import Facts, Outcome
from apps.probes.reasons import Reason, Verdict

DAY_MS = 86_400_000
_NOT_LOOKED_AT = frozenset({Reason.BLOCKED_ADDRESS, Reason.REDIRECT_BLOCKED, Reason.PROXY_FAILED})


def slow(latency_ms: float, degraded_ms: int | None, facts: Facts) -> Outcome | None:
    """Degraded when an answer that is right came later than `degraded_ms`."""
    if degraded_ms is None or latency_ms <= degraded_ms:
        return None
    return Outcome.because(Reason.TOO_SLOW, f"[latency] ({latency_ms:.0f} ms) <= {degraded_ms} ms", facts)


def status(code: int, accepted: tuple[str, ...], *, with_credentials: bool, facts: Facts) -> Outcome | None:
    """Down when the HTTP status is in none of the accepted ranges (`200-299`, `404`)."""
    if any(_in_range(code, item) for item in accepted):
        return None
    message = f"[status] ({code}) in {', '.join(accepted)}"
    if code == 429:
        return Outcome.because(Reason.RATE_LIMITED, message, facts)
    if code == 401 and with_credentials:
        return Outcome.because(Reason.AUTH_FAILED, message, facts)
    return Outcome.because(Reason.HTTP_STATUS, message, facts)


def too_slow(latency_ms: float, down_ms: int | None, facts: Facts) -> Outcome | None:
    """Down when the answer came later than `down_ms`."""
    late = slow(latency_ms, down_ms, facts)
    return late and late.judged(Verdict.DOWN)


def forbidden(body: str, unwanted: str, read_bytes: int, facts: Facts) -> Outcome | None:
    """Down when the body holds what must not be there (case-sensitive)."""
    if not unwanted or unwanted not in body:
        return None
    return Outcome.because(Reason.BODY_FORBIDDEN, f"[body] ({read_bytes} bytes read) not contains {unwanted!r}", facts)


def keyword(body: str, wanted: str, read_bytes: int, facts: Facts) -> Outcome | None:
    """Down when the body lacks the keyword (case-sensitive)."""
    if not wanted or wanted in body:
        return None
    return Outcome.because(Reason.BODY_MISMATCH, f"[body] ({read_bytes} bytes read) contains {wanted!r}", facts)


def contains(name: str, value: str, wanted: str, facts: Facts) -> Outcome | None:
    """Down when a fact does not hold a text, in whatever case."""
    if wanted.lower() in value.lower():
        return None
    return Outcome.because(Reason.ASSERTION_FAILED, f"[{name}] ({value}) contains {wanted!r}", facts)


def failed(assertions: Sequence[str], latency_ms: float | None, facts: Facts, now_ms: int) -> Iterator[Outcome]:
    """Down for each assertion that does not hold of these facts."""
    if assertions:
        values = asserted(facts, latency_ms, now_ms)
        yield from failed_of(assertions, lambda condition: values.get(condition.fact), facts)


def failed_of(assertions: Sequence[str], look: Callable[[Condition], Any], facts: Facts) -> Iterator[Outcome]:
    """The same where a kind looks up by itself what a condition names."""
    for condition in conditions.parse_lines(assertions):
        failure = condition.failure(look(condition))
        if failure is not None:
            yield Outcome.because(condition.reason, failure, facts).judged(Verdict.DOWN)


def asserted(facts: Facts, latency_ms: float | None, now_ms: int) -> Facts:
    """Facts by the names that assertions give them."""
    values: Facts = {**facts, **facts.get("phases_ms", {}), "latency": latency_ms}
    certificate = facts.get("certificate")
    if certificate:
        days = (first_to_expire(certificate, now_ms)[0] - now_ms) / DAY_MS
        values |= {"certificate.days": days, "certificate.issuer": certificate["issuer"]}
    return values


def upside_down(outcome: Outcome) -> Outcome:
    """For what must not answer. Where we did not look, or may not, nothing is turned."""
    if outcome.verdict == Verdict.UNKNOWN or outcome.reason in _NOT_LOOKED_AT:
        return outcome
    if outcome.verdict == Verdict.DOWN:
        told = {"reason": outcome.reason, "message": outcome.message}
        return Outcome(Verdict.UP, facts={**outcome.facts, "expected_failure": told})
    return Outcome.because(Reason.ASSERTION_FAILED, "[answer] (it is up) == down, for the check is upside down", outcome.facts)


def first(*findings: Outcome | None, facts: Facts) -> Outcome:
    """The first finding that speaks against the target, else up."""
    return next((finding for finding in findings if finding is not None), Outcome(Verdict.UP, facts=facts))


def _in_range(code: int, item: str) -> bool:
    low, dash, high = item.partition("-")
    return int(low) <= code <= int(high if dash else low)
