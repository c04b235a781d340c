"""The check state machine: every row of `machine_scenarios.md`, and properties that hold for all histories."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.incidents.machine import (
    SLACK_MS,
    Event,
    Level,
    MarkDown,
    Notice,
    Opened,
    Policy,
    Resolved,
    Round,
    SetInterval,
    State,
    Unmark,
    Worsened,
    derive,
    next_slot,
    step,
    truncate,
    unknown_from,
    verdict,
)

ROWS = re.findall(r"^\| `(.+?)` \| (.+?) \|$", Path(__file__).with_name("machine_scenarios.md").read_text(), re.MULTILINE)
STEPS = [row for row in ROWS if re.match(r"f\d r\d:", row[0])]
ROUNDS = [row for row in ROWS if re.match(r"k", row[0])]
HISTORIES = [row for row in ROWS if row not in STEPS and row not in ROUNDS]
VERDICTS = {"U": "up", "G": "degraded", "D": "down", "?": "unknown", "X": "split", "x": "split"}
MARK = {"up": "u", "warn": "w", "down": "d", "unknown": "?"}


def test_every_row_of_the_law_is_here() -> None:
    assert (len(STEPS), len(ROUNDS), len(HISTORIES)) == (68, 42, 30)


@dataclass
class Book:
    """The machine's events, applied as by the database: intervals by start, incidents and notices as words."""

    intervals: dict[int, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    end: int = 0

    def write(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case SetInterval(slot, until, own, shown):
                    self.intervals = {start: pair for start, pair in self.intervals.items() if start < slot}
                    self.intervals[slot] = [own, shown]
                    self.end = until
                case MarkDown(start):
                    self._split(start)
                    for at, pair in self.intervals.items():
                        if at >= start and pair[0] != "unknown":
                            pair[1] = "down"
                case Unmark(start):
                    self._split(start)
                    for at, pair in self.intervals.items():
                        if at >= start:
                            pair[1] = pair[0]
                case Opened(started, level):
                    self.lines.append(f"open {second(started)} {'down' if level == Level.DOWN else 'warn'}")
                case Worsened(started, down_from):
                    self.lines.append(f"escalate {second(started)} {second(down_from)}")
                case Resolved(started, resolved):
                    self.lines.append(f"resolve {second(started)} {second(resolved)}")
                case Notice(level):
                    self.lines.append(f"told {('up', 'warn', 'down')[level]}")

    def _split(self, at: int) -> None:
        before = max((start for start in self.intervals if start <= at), default=None)
        if before is not None and before != at:
            self.intervals[at] = list(self.intervals[before])
            self.intervals = dict(sorted(self.intervals.items()))

    def spans(self) -> list[tuple[int, int, str]]:
        starts = sorted(self.intervals)
        merged: list[tuple[int, int, str]] = []
        for start, until in zip(starts, [*starts[1:], self.end][: len(starts)], strict=True):
            shown = self.intervals[start][1]
            if merged and merged[-1][2] == shown:
                merged[-1] = (merged[-1][0], until, shown)
            elif until > start:
                merged.append((start, until, shown))
        return merged

    def words(self) -> str:
        return ", ".join(self.lines) or "-"


def second(at: int) -> str:
    return f"{at / 1000:g}"


def spell(spans: list[tuple[int, int, str]]) -> str:
    return " ".join(f"{state}[{second(start)},{second(until)})" for start, until, state in spans)


@pytest.mark.parametrize(("scenario", "outcome"), STEPS, ids=[row[0] for row in STEPS])
def test_it_steps_as_the_law_says(scenario: str, outcome: str) -> None:
    head, _, tail = scenario.partition(": ")
    fail, recover = (int(part[1:]) for part in head.split())
    policy = Policy(1_000, 500, fail_after=fail, recover_after=recover)
    state, book, statuses, at, last = State(due=0), Book(), "", 0, -1_000
    for token in tail.split():
        if token in "/!":
            state, events = truncate(state, at, is_new_target=token == "!")
            book.write(events)
            continue
        quiet, late, extra = (mark in token for mark in "m~+")
        body = token.strip("m~+")
        if body.startswith("."):
            verdict_, until, slot, k = "unknown", at + 1_000 * len(body), at, 2
        else:
            k = int(body[1:] or 2)
            verdict_, slot = VERDICTS[body[0]], last if late else last + 300 if extra else at
            until = at if extra else at + 1_000
        if extra:
            state = State(**{**vars(state), "due": slot})
        before = state
        state, events = step(state, Round(slot, until, verdict_, k, body[0] != "x", quiet), policy)
        book.write(events)
        if late:
            assert (state, events) == (before, [])
            continue
        statuses += MARK[state.status]
        last, at = slot if not extra else last, until
    assert f"{statuses}; {spell(book.spans())}; {book.words()}" == outcome


@pytest.mark.parametrize(("scenario", "outcome"), ROUNDS, ids=[row[0] for row in ROUNDS])
def test_votes_meet_as_the_law_says(scenario: str, outcome: str) -> None:
    quorum, live, votes, when = scenario.split()
    policy = Policy(10_000, 5_000, quorum=None if quorum == "k-" else int(quorum[1:]))
    sides = {index: VERDICTS[vote] for index, vote in enumerate(votes) if vote != "."}
    regions = [] if live == "-" else ["ABCD".index(region) for region in live]
    assert (verdict(sides, policy, regions, is_over=when == "over") or "wait") == outcome


@pytest.mark.parametrize(("scenario", "outcome"), HISTORIES, ids=[row[0] for row in HISTORIES])
def test_rows_become_intervals_as_the_law_says(scenario: str, outcome: str) -> None:
    head, _, tail = scenario.partition(": ")
    names, *extra = head.split()
    policy = Policy(10_000, 5_000, fail_after=2, recover_after=2)
    dead: dict[int, float] = {}
    extras: list[int] = []
    for option in extra:
        name, _, value = option.partition("=")
        if name == "dead":
            regions, _, until = value.partition("@")
            dead |= {"ABC".index(region): float(until or "inf") for region in regions}
        else:
            extras.append(int(value) * 1_000)
    rows: dict[int, tuple[int, dict[int, str]]] = {}
    state, book, now = State(due=0), Book(), 0

    def live_at(slot: int) -> list[int]:
        return [i for i in range(len(names)) if slot >= dead.get(i, 0) * 1_000]

    for token in tail.split():
        if token.startswith("now="):
            now = round(float(token[4:]) * 1_000)
            fresh = {slot: row for slot, row in rows.items() if slot > state.slot}
            state, events = derive(state, fresh, policy, live_at=live_at, now=now, extras=extras)
            book.write(events)
            continue
        slot_text, vote_text, recorded_text = re.fullmatch(r"(\d+):(.+)@([\d.]+)", token).groups()  # type: ignore[union-attr]
        slot, recorded = int(slot_text) * 1_000, round(float(recorded_text) * 1_000)
        votes = {i: VERDICTS[vote] for i, vote in enumerate(vote_text) if vote != "."}
        first, known = rows.get(slot, (recorded, {}))
        rows[slot] = (first, {**known, **votes})
    spans = [(start, until, state_) for start, until, state_ in book.spans()]
    silent = unknown_from(state, policy, now)
    words = spell(spans)
    if silent is not None:
        words += f" unknown*[{second(silent)},{second(now)})"
    assert f"{words.strip()}; {book.words()}" == outcome


VERDICT = st.sampled_from(["up", "degraded", "down", "unknown", "split"])


@given(st.lists(st.tuples(VERDICT, st.booleans()), max_size=60), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_for_all_histories_incidents_alternate_and_intervals_cover(
    rounds: list[tuple[str, bool]], fail_after: int, recover_after: int
) -> None:
    policy = Policy(1_000, 500, fail_after=fail_after, recover_after=recover_after)
    state, book, is_open, last_notified = State(due=0), Book(), False, "up"
    for index, (verdict_, quiet) in enumerate(rounds):
        rnd = Round(index * 1_000, (index + 1) * 1_000, verdict_, 2, is_quiet=quiet)
        state, events = step(state, rnd, policy)
        assert step(state, rnd, policy) == (state, [])
        book.write(events)
        for event in events:
            if isinstance(event, (Opened, Resolved)):
                assert is_open != isinstance(event, Opened)
                is_open = isinstance(event, Opened)
            if isinstance(event, Notice):
                assert event.level.name.lower() != last_notified
                last_notified = event.level.name.lower()
        assert (state.opened is not None) == is_open == (state.level > Level.GOOD)
    spans = book.spans()
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert not rounds or (spans[0][0], spans[-1][1]) == (0, len(rounds) * 1_000)
    for index, (verdict_, _) in enumerate(rounds):
        shown = next(s for start, until, s in spans if start <= index * 1_000 < until)
        assert (shown == "unknown") == (verdict_ == "unknown")


@given(st.lists(st.sampled_from(["up", "down", "degraded", None]), min_size=1, max_size=40), st.data())
@settings(max_examples=200, deadline=None)
def test_a_backlog_gives_the_history_that_no_backlog_would_have_given(votes: list[str | None], data: st.DataObject) -> None:
    """Rows evaluated as they arrive, or all at once at the end, give the same intervals and incidents."""
    policy = Policy(10_000, 5_000, fail_after=2, recover_after=2)
    rows = {i * 10_000: (i * 10_000 + 100, {0: vote}) for i, vote in enumerate(votes) if vote is not None}
    end = len(votes) * 10_000 + 60_000
    rows[len(votes) * 10_000] = (len(votes) * 10_000 + 100, {0: "up"})

    def history(moments: list[int]) -> tuple[State, list[tuple[int, int, str]], list[str]]:
        state, book = State(due=0), Book()
        for now in [*moments, end]:
            seen = {slot: row for slot, row in rows.items() if row[0] <= now and slot > state.slot}
            state, events = derive(state, seen, policy, live_at=lambda _slot: [0], now=now)
            book.write(events)
        return state, book.spans(), [line for line in book.lines if not line.startswith("told")]

    moments = sorted(data.draw(st.lists(st.integers(0, end), max_size=20)))
    assert history(moments) == history([])


@given(st.integers(0, 10**7), st.integers(0, 9_999), st.integers(0, 10**6))
def test_the_next_slot_is_later_and_on_the_grid(after: int, phase: int, since: int) -> None:
    policy = Policy(10_000, 5_000, phase=phase, since=since)
    slot = next_slot(after, policy)
    assert slot > after
    assert slot >= since
    assert (slot - phase) % 10_000 == 0


def test_silence_reads_as_unknown_only_after_timeout_and_slack() -> None:
    policy = Policy(10_000, 5_000)
    assert unknown_from(State(due=10_000), policy, 15_000 + SLACK_MS) is None
    assert unknown_from(State(due=10_000), policy, 15_001 + SLACK_MS) == 10_000
