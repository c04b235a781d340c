"""The pure heartbeat machine: early, late and missing signals, the deadline itself, overruns and overlapping runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.incidents.heartbeat_machine import (
    OPEN_LIMIT,
    Deadline,
    HeartbeatState,
    Signal,
    deadline,
    edited,
    on_ping,
    passed,
    preview,
    resumed,
)
from apps.probes.kinds.heartbeat import Options, parse
from apps.probes.reasons import Reason, Verdict

MINUTE = 60_000
HOUR = 60 * MINUTE


def rhythm(**options: Any) -> Options:
    return parse("", {"grace_s": 30, **options})


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def due(wait: HeartbeatState, options: Options, interval: int = MINUTE) -> tuple[int, str] | None:
    found = deadline(wait, options, interval)
    return None if found is None else (found.at, found.reason.value)


def test_nothing_is_missed_before_the_first_signal() -> None:
    assert due(HeartbeatState(), rhythm()) is None
    assert due(on_ping(HeartbeatState(), Signal.LOG, "", 5).wait, rhythm()) is None


@pytest.mark.parametrize("signal", [Signal.SUCCESS, Signal.FAIL])
def test_a_period_and_the_grace_are_counted_from_the_last_end(signal: Signal) -> None:
    wait = on_ping(HeartbeatState(), signal, "", 1_000).wait
    assert due(wait, rhythm()) == (1_000 + MINUTE + 30_000, "heartbeat_missed")
    assert due(wait, rhythm(period_s=86_400 * 7)) == (1_000 + 7 * 86_400_000 + 30_000, "heartbeat_missed")


def test_an_early_signal_counts_from_its_own_moment() -> None:
    wait = on_ping(on_ping(HeartbeatState(), Signal.SUCCESS, "", 0).wait, Signal.SUCCESS, "", 10_000).wait
    assert due(wait, rhythm()) == (10_000 + MINUTE + 30_000, "heartbeat_missed")


def test_a_missed_one_is_counted_on_from_when_it_should_have_come() -> None:
    wait = on_ping(HeartbeatState(), Signal.SUCCESS, "", 0).wait
    found = deadline(wait, rhythm(), MINUTE)
    assert found is not None
    assert due(passed(wait, found), rhythm()) == (2 * MINUTE + 30_000, "heartbeat_missed")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"),  # there is no 02:30 on this day
        ("2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"),  # there are two, and it runs once
        ("2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"),
        ("2026-06-01T02:29:54+02:00", "2026-06-01T02:30:00+02:00"),
        ("2026-06-01T02:29:59+02:00", "2026-06-02T02:30:00+02:00"),  # a job whose clock is a second ahead was in time
    ],
)
def test_cron_in_a_zone_minds_summer_time(last: str, expected: str) -> None:
    options = rhythm(cron="30 2 * * *", timezone="Europe/Berlin")
    assert options.expected_after(at(last), 0) == at(expected)


def test_a_run_that_began_is_not_missing_but_may_overrun() -> None:
    wait = on_ping(HeartbeatState(0), Signal.START, "", 50_000).wait
    assert due(wait, rhythm()) == (50_000 + 30_000, "heartbeat_overrun")
    assert due(wait, rhythm(max_runtime_s=600)) == (650_000, "heartbeat_overrun")
    end = on_ping(wait, Signal.SUCCESS, "", 70_000)
    assert (end.verdict, end.runtime, due(end.wait, rhythm())) == (Verdict.UP, 20_000, (160_000, "heartbeat_missed"))


def test_a_job_that_only_ever_begins_does_not_push_its_deadline_on() -> None:
    wait = on_ping(on_ping(HeartbeatState(0), Signal.START, "", 10_000).wait, Signal.START, "", 25_000)
    assert due(wait.wait, rhythm()) == (40_000, "heartbeat_overrun")
    assert wait.others == 1
    assert on_ping(wait.wait, Signal.SUCCESS, "", 26_000).runtime == 1_000


def test_an_overrun_is_told_once_and_the_next_signal_is_waited_for() -> None:
    wait = on_ping(HeartbeatState(0), Signal.START, "", 10_000).wait
    found = deadline(wait, rhythm(), MINUTE)
    assert found == Deadline(40_000, 10_000, "")
    assert found.reason is Reason.HEARTBEAT_OVERRUN
    assert due(passed(wait, found), rhythm()) == (40_000 + MINUTE + 30_000, "heartbeat_missed")


def test_runs_with_ids_are_kept_apart() -> None:
    both = on_ping(on_ping(HeartbeatState(0), Signal.START, "a", 10_000).wait, Signal.START, "b", 20_000)
    assert both.others == 1
    end = on_ping(both.wait, Signal.SUCCESS, "b", 21_000)
    assert (end.runtime, end.others, due(end.wait, rhythm())) == (1_000, 1, (40_000, "heartbeat_overrun"))
    assert on_ping(both.wait, Signal.SUCCESS, "", 21_000).runtime is None


def test_a_flood_of_starts_is_bounded() -> None:
    wait = HeartbeatState(0)
    for number in range(3 * OPEN_LIMIT):
        wait = on_ping(wait, Signal.START, str(number), number).wait
    assert len(wait.begun) == OPEN_LIMIT
    assert due(wait, rhythm()) == (30_000, "heartbeat_overrun")


def test_after_an_edit_nobody_is_late_for_what_was_due_before() -> None:
    assert edited(HeartbeatState(), rhythm(), MINUTE, 10) == HeartbeatState()
    assert edited(HeartbeatState(0), rhythm(), MINUTE, 10_000) == HeartbeatState(0)
    assert edited(HeartbeatState(0), rhythm(), MINUTE, 500_000) == HeartbeatState(500_000)
    assert edited(on_ping(HeartbeatState(0), Signal.START, "", 5).wait, rhythm(), MINUTE, 10_000) == HeartbeatState(10_000)


def test_after_a_pause_the_time_runs_from_then() -> None:
    assert (resumed(HeartbeatState(), 10), resumed(HeartbeatState(0), 10)) == (HeartbeatState(), HeartbeatState(10))


def test_the_preview_is_what_would_be_waited_for() -> None:
    times = preview(rhythm(cron="0 * * * *"), 0, after=at("2026-11-01T10:20:00+00:00"), count=3)
    assert [time.expected for time in times] == [at(f"2026-11-01T{hour}:00:00+00:00") for hour in (11, 12, 13)]
    assert [time.missing_from - time.expected for time in times] == [30_000] * 3


signals = st.lists(st.tuples(st.sampled_from(list(Signal)), st.sampled_from(["", "a", "b"]), st.integers(1, 90_000)), max_size=40)


@given(signals, st.integers(1, 100), st.integers(5, 100))
def test_whatever_comes_deadlines_only_go_on(said: list[tuple[Signal, str, int]], grace: int, period: int) -> None:
    """No deadline is earlier than the one before it; a state stays the same when it is stored and read."""
    options, wait, now = rhythm(grace_s=grace, period_s=period), HeartbeatState(), 0
    for signal, rid, later in said:
        now += later
        while (missed := deadline(wait, options, 0)) is not None and missed.at < now:
            wait = passed(wait, missed)
            following = deadline(wait, options, 0)
            assert following is not None
            assert following.at > missed.at or (following.rid is not None and following.at == missed.at)
        wait = on_ping(wait, signal, rid, now).wait
        assert HeartbeatState.read(wait.stored()) == wait


@pytest.mark.parametrize(("written", "meant"), [("@daily", "0 0 * * *"), ("@Hourly", "0 * * * *"), ("@weekly", "0 0 * * 0")])
def test_the_words_of_cron_are_taken(written: str, meant: str) -> None:
    assert parse("", {"cron": written}).cron == meant
