"""Evaluate responses without blocking the event loop: small bodies on the loop, others in a thread, with budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from apps.probes.contract import Outcome
from apps.probes.json_paths import Budget, BudgetExceededError
from apps.probes.reasons import Reason

_LOOP_BYTES = 65_536
"""Larger bodies are evaluated in the thread."""
_LOOP_NODES, _LOOP_S = 5_000, 0.05
_THREAD_NODES, _THREAD_S = 1_000_000, 3.0
_AFTER_DEADLINE_S = 0.3
"""How long after the deadline to wait for the thread, which may be busy with other runs; then the run is unknown."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="judging")
"""A single thread: several would compete with the event loop for the interpreter lock (GIL)."""


async def run_bounded(judge: Callable[[Budget], Outcome], *, size: int, deadline: float) -> Outcome:
    """Return what `judge` returns for a body of `size` bytes; `deadline` is on the loop's clock.

    If the first budget is exceeded, `judge` is called again in the thread with a larger, final budget.
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
