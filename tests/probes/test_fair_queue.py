"""The order of jobs when not all may run: tenants take turns, hosts have a limit, late jobs are dropped. Loop lag."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.probes.fair_queue import TENANT_SHARE, FairQueue, host_of
from apps.probes.loop_lag import BUSY_S, LoopLag
from apps.probes.wire import Job


def job(tenant: str, target: str, slot: int = 1_000) -> Job:
    return Job("c", 1, slot, "http", target, {}, 5_000, tenant=tenant)


def taken(turns: FairQueue, allowed: int) -> list[Job]:
    found = []
    while (following := turns.take(allowed)) is not None:
        found.append(following)
    return found


def test_five_thousand_hanging_targets_of_one_tenant_delay_nobody_else() -> None:
    turns = FairQueue(per_host=100)
    turns.add(job("modest", "http://known.example/"))
    turns.done(taken(turns, 1_000)[0])
    for index in range(5_000):
        turns.add(job("greedy", f"http://{index}.example/"))
    assert len(taken(turns, 1_000)) == 1_000 * TENANT_SHARE
    for index in range(20):
        turns.add(job("modest", f"http://{index}.example.net/"))
    assert [found.tenant for found in taken(turns, 1_000)] == ["modest"] * 20


def test_tenants_take_turns() -> None:
    turns = FairQueue(per_host=100)
    for index in range(4):
        for tenant in "ab":
            turns.add(job(tenant, f"http://{tenant}{index}.example/"))
    assert [turns.take(100).tenant for _ in range(8)] == list("ab" * 4)  # type: ignore[union-attr]  # there are eight


def test_a_host_gets_no_more_than_its_share_and_holds_up_no_other() -> None:
    turns = FairQueue(per_host=2)
    for path in ("/1", "/2", "/3", "/4"):
        turns.add(job("a", f"http://slow.example{path}"))
    turns.add(job("a", "http://other.example/"))
    first = taken(turns, 100)
    assert [found.target for found in first] == ["http://slow.example/1", "http://slow.example/2", "http://other.example/"]
    turns.done(first[0])
    assert [found.target for found in taken(turns, 100)] == ["http://slow.example/3"]
    assert (turns.running, len(turns)) == (3, 1)


def test_what_is_late_is_dropped_also_where_it_waits_for_its_host() -> None:
    turns = FairQueue(per_host=1)
    for slot in (1_000, 2_000, 3_000):
        turns.add(job("a", "http://slow.example/", slot))
    (running,) = taken(turns, 100)
    assert [late.slot for late in turns.expired(2_500)] == [2_000]
    turns.done(running)
    assert [found.slot for found in taken(turns, 100)] == [3_000]


def test_a_trial_that_waits_holds_nobodys_drop_up_and_keeps_its_turn() -> None:
    turns = FairQueue(per_host=1)
    turns.add(job("a", "http://slow.example/", 1_000))
    (running,) = taken(turns, 100)
    for slot, trial in ((0, "first"), (1_500, None), (0, "second"), (2_000, None), (3_000, None)):
        turns.add(replace(job("a", "http://slow.example/", slot), trial=trial))
    assert [late.slot for late in turns.expired(2_500)] == [1_500, 2_000]
    following = []
    for _ in range(3):
        turns.done(running)
        (running,) = taken(turns, 100)
        following.append(running.trial or running.slot)
    assert following == ["first", "second", 3_000]


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://a.example:8443/x?y", "a.example"),
        ("a.example:25", "a.example"),
        ("[::1]:25", "::1"),
        ("a.example", "a.example"),
        ("http://[", "http://["),
    ],
)
def test_the_host_of_a_target(target: str, host: str) -> None:
    assert host_of(target) == host


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=60), st.integers(1, 12))
def test_nothing_is_lost_and_no_limit_is_passed(acts: list[tuple[str, int, bool]], allowed: int) -> None:
    turns, running, done = FairQueue(per_host=2), [], 0
    for added, (tenant, host, ends) in enumerate(acts, start=1):
        turns.add(job(tenant, f"http://{host}.example/"))
        running += taken(turns, allowed)
        if ends and running:
            turns.done(running.pop(0))
            done += 1
        assert len(turns) + turns.running + done == added
        assert turns.running == len(running) <= allowed
        hosts = [found.target for found in running]
        assert all(hosts.count(target) <= 2 for target in hosts)
    while running := [*running, *taken(turns, allowed)]:
        turns.done(running.pop())
    assert len(turns) == 0


def test_a_loop_that_lags_is_given_less_and_more_again_when_it_is_well() -> None:
    pulse = LoopLag(5_000)
    pulse.note(1.0, 0.01, 900)
    assert pulse.allowed == 5_000
    for second in range(20):
        pulse.note(2.0 + second, 2 * BUSY_S, min(900, pulse.allowed))
    assert pulse.allowed == 50
    assert pulse.worst_between(3.0, 23.0) == 2 * BUSY_S
    for second in range(100):
        pulse.note(30.0 + second, 0.01, 10)
    assert (pulse.allowed, pulse.worst_between(30.0, 60.0)) == (5_000, 0.0)


def test_a_beat_that_is_missing_counts_before_it_is_noted() -> None:
    pulse = LoopLag(5_000)
    pulse._due = 10.0
    assert pulse.worst_between(9.0, 10.0 + BUSY_S / 2) == 0.0
    assert pulse.worst_between(9.0, 40.0) == 30.0
    assert pulse.worst_between(39.0, 40.0) == 1.0  # of a run that began meanwhile only its own time counts
