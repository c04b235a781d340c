"""Judging answers without holding the loop: what is quick is judged on it, the rest by a thread, bounded in nodes and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from apps.probes.contract import Outcome
from apps.probes.json_paths import Budget, BudgetExceededError
from apps.probes.reasons import Reason

_LOOP_BYTES = 65_536
"""A larger body is judged by the thread."""
_LOOP_NODES, _LOOP_S = 5_000, 0.05
_THREAD_NODES, _THREAD_S = 1_000_000, 3.0
_AFTER_DEADLINE_S = 0.3
"""So long beyond a run's deadline the thread is waited for, which others may hold: then it is unknown, for the fault is ours."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judging")
"""One: several would take turns at the interpreter with the loop, and each would make it wait."""


async def run_bounded(judge: Callable[[Budget], Outcome], *, size: int, deadline: float) -> Outcome:
    """What `judge` says of a body of `size` bytes; the deadline is on the loop's clock.

    It is called again with a larger budget, the final one, where the first is exceeded.
    """
    if size <= _LOOP_BYTES:
        try:
            return judge(Budget(_LOOP_NODES, _LOOP_S, is_final=False))
        except BudgetExceededError:
            pass
    work = asyncio.get_running_loop().run_in_executor(_thread, lambda: judge(Budget(_THREAD_NODES, _THREAD_S)))
    try:
        async with asyncio.timeout_at(deadline + _AFTER_DEADLINE_S):
            return await work
    except TimeoutError:
        return Outcome.because(Reason.INTERNAL, "this probe worker was too busy to look into the body")
