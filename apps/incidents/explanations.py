"""Chooses the reason shown for a check from the votes of a round. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from apps.probes.reasons import MEANINGS, Reason
from apps.results.selectors import Vote

Why = tuple[str, str]
"""(reason code, sentence)"""

_WORST_FIRST = ("down", "degraded", "unknown")


def explain(votes: Sequence[Vote], status: str) -> Why | None:
    """Return the reason of the worst vote, or None without a problem.

    If the check is not confirmed down and some regions see the target up, the reason is `regions_disagree`.
    """
    for verdict in _WORST_FIRST:
        found = next((v for v in sorted(votes, key=lambda v: v.region_id) if v.verdict == verdict and v.reason), None)
        if found is not None and found.reason is not None:
            if status == "warn" and verdict == "down" and any(v.verdict == "up" for v in votes):
                downs = sum(v.verdict == "down" for v in votes)
                return Reason.REGIONS_DISAGREE.value, f"{downs} of {len(votes)} regions: {found.message or found.reason}"
            return found.reason, found.message or MEANINGS[Reason(found.reason)].words
    if status == "unknown":
        return Reason.NO_RESULT.value, "no region of the check answered"
    return None
