"""Evaluate responses without blocking the event loop: small bodies on the loop, others in a few threads, with budgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from apps.probes.contract import Outcome
from apps.probes.json_paths import Budget, BudgetExceededError
from apps.probes.reasons import Reason

_LOOP_BYTES = 65_536
"""Larger bodies are evaluated in a thread."""
_THREAD_NODES, _THREAD_S = 1_000_000, 3.0
_AFTER_DEADLINE_S = 0.3
"""How long after the deadline to wait for a thread, which may be busy with other runs; then the run is unknown."""

_THREADS = 4
"""Few, because they compete with the event loop for the interpreter lock (GIL); RE2 releases it."""
_threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="judging")
_turns: dict[str, asyncio.Semaphore] = {}
"""A tenant occupies one thread at a time, so that what takes long delays this tenant alone."""
_TURNS_KEPT = 10_000


async def run_bounded(judge: Callable[[Budget], Outcome], *, size: int, deadline: float, tenant: str) -> Outcome:
    """Return what `judge` returns for a body of `size` bytes; `deadline` is on the loop's clock.

    If the first budget is exceeded, `judge` is called again in a thread with a larger, final budget.
    """
    if size <= _LOOP_BYTES:
        try:
            return judge(Budget(is_final=False))
        except BudgetExceededError:
            pass
    try:
        async with asyncio.timeout_at(deadline + _AFTER_DEADLINE_S):
            return await _in_turn(lambda: judge(Budget(_THREAD_NODES, _THREAD_S)), tenant)
    except TimeoutError:
        return Outcome.because(Reason.INTERNAL, "this probe worker was too busy to look into the body")


async def _in_turn(work: Callable[[], Outcome], tenant: str) -> Outcome:
    """Run in a thread when it is the tenant's turn. The turn lasts until the thread is free, however long that takes."""
    if len(_turns) > _TURNS_KEPT:
        _turns.clear()
    turn = _turns.setdefault(tenant, asyncio.Semaphore())
    await turn.acquire()
    running = asyncio.get_running_loop().run_in_executor(_threads, work)
    running.add_done_callback(lambda _done: turn.release())
    return await asyncio.shield(running)
