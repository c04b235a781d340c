"""A latency histogram with fixed buckets that can be merged. Pure. A percentile read from it is at most 5 % off.

Bucket i holds latencies in [2^(i/8) - 1, 2^((i+1)/8) - 1) ms. `BUCKET_SQL` is the same arithmetic in SQL.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

PER_DOUBLING = 8
BUCKET_SQL = f"floor(ln(duration_ms + 1) * {PER_DOUBLING / math.log(2)!r})::smallint"


def bucket_of(latency_ms: float) -> int:
    return math.floor(math.log(latency_ms + 1) * (PER_DOUBLING / math.log(2)))


def middle_of(bucket: int) -> float:
    """Return the latency in ms that represents a bucket: its geometric middle."""
    return float(2 ** ((bucket + 0.5) / PER_DOUBLING) - 1)


def merged(parts: Iterable[tuple[Sequence[int], Sequence[int]]]) -> Counter[int]:
    """Return the sum of any number of histograms, each given as (buckets, numbers)."""
    total: Counter[int] = Counter()
    for buckets, numbers in parts:
        for bucket, number in zip(buckets, numbers, strict=True):
            total[bucket] += number
    return total


def percentiles(histogram: Counter[int], shares: Sequence[float]) -> list[float | None]:
    """Return, for each share (0.5 is the median), the latency in ms that this share of runs did not exceed.

    All are None for an empty histogram.
    """
    count = histogram.total()
    if not count:
        return [None] * len(shares)
    found: list[float | None] = []
    ordered = sorted(histogram.items())
    for share in shares:
        rank, seen = max(1, math.ceil(share * count)), 0
        for bucket, number in ordered:
            seen += number
            if seen >= rank:
                found.append(round(middle_of(bucket), 1))
                break
    return found
