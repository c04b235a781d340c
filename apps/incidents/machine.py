"""The check state machine. Pure: standard library, integer milliseconds, no clock, no I/O, frozen values.

`verdict` combines the votes of a round, `step` applies a settled round to the state, `derive` settles all rounds that
are decided, `truncate` ends a revision or a pause. A slot identifies a round; a round is settled once and never
changes. Everything that must be written comes out as events, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

SLACK_MS = 5_000
"""A round is overdue at slot + timeout + SLACK_MS."""
VOTE_SETTLE_MS = 5_000
"""How long ago a vote must have been recorded to close earlier rounds.

A vote that was sent before it may still be in the hands of another consumer.
"""
STALE_NEWS_MS = 900_000
"""Nobody is notified about a round that is settled this long after its slot."""
GAP = 5
"""Rounds whose verdict is up, degraded or down belong to different streaks if more than GAP intervals apart."""


class Level(IntEnum):
    """Severity of the open incident; GOOD means that none is open."""

    GOOD = 0
    WARN = 1
    DOWN = 2


@dataclass(frozen=True)
class Streak:
    """A number of consecutive rounds with certain verdicts, and the slot of the first one."""

    count: int = 0
    first: int | None = None

    def grown(self, slot: int) -> Streak:
        return Streak(self.count + 1, slot if self.first is None else self.first)


_NO_STREAK = Streak()
_STREAK_VERDICTS: tuple[frozenset[str], ...] = (
    frozenset({"down"}),
    frozenset({"down", "degraded"}),
    frozenset({"up", "degraded"}),
    frozenset({"up"}),
)
"""The verdicts that the four streaks count: down, bad, ok, clean."""
NO_STREAKS = (_NO_STREAK,) * 4


@dataclass(frozen=True)
class Policy:
    """The settings of a check that the machine reads; times in ms."""

    interval: int
    timeout: int
    fail_after: int = 1
    recover_after: int = 1
    quorum: int | None = None
    phase: int = 0
    since: int = 0
    """Regular slots before this one do not belong to the current revision."""


@dataclass(frozen=True)
class Round:
    slot: int
    until: int
    """The next slot of the sequence; the verdict holds until then."""
    verdict: str
    """One of up, degraded, down, unknown and split."""
    k: int = 1
    """Number of agreeing votes that this round needed."""
    is_safe: bool = True
    """Whether the missing votes of live regions could not have made it down."""
    is_quiet: bool = False
    """Whether nobody is notified: maintenance, or the round is too old to be news."""


@dataclass(frozen=True)
class State:
    due: int
    """The first slot that is not settled."""
    slot: int = -1
    """The last settled slot, or the millisecond before a truncation."""
    level: Level = Level.GOOD
    streaks: tuple[Streak, ...] = NO_STREAKS
    counted: int | None = None
    """The last slot that the streaks counted."""
    opened: int | None = None
    """Start of the open incident (epoch ms)."""
    by: int = 0
    """Number of votes needed (k) in the round that confirmed the incident's current severity."""
    last_notified: Level = Level.GOOD
    """The level of the last notification."""
    status: str = "pending"


@dataclass(frozen=True)
class SetInterval:
    """Replaces all intervals from `slot` on: `own` is the round's own health, `shown` the health that readers see."""

    slot: int
    until: int
    own: str
    shown: str


@dataclass(frozen=True)
class MarkDown:
    """Shows all time from `start` on as down, except unknown time."""

    start: int


@dataclass(frozen=True)
class Unmark:
    """Shows each interval from `start` on by its own health again."""

    start: int


@dataclass(frozen=True)
class Opened:
    started: int
    level: Level


@dataclass(frozen=True)
class Worsened:
    started: int
    down_from: int


@dataclass(frozen=True)
class Resolved:
    started: int
    resolved: int


@dataclass(frozen=True)
class Notice:
    """People must be notified that the check is at this level."""

    level: Level


Event = SetInterval | MarkDown | Unmark | Opened | Worsened | Resolved | Notice
Votes = Mapping[int, str]
"""Verdict by region id."""
Rows = Mapping[int, tuple[int, Votes]]
"""By slot: the core's time when the round's first vote was recorded, and the votes."""


@dataclass(frozen=True)
class Tally:
    down: int
    degraded: int
    good: int
    """Votes that are up or degraded."""
    missing: int


def needed(policy: Policy, live: Collection[int]) -> int:
    """Return k, the number of agreeing votes needed: the configured quorum, else a majority of live regions.

    A configured quorum is not lowered when fewer regions are live.
    """
    return policy.quorum or len(live) // 2 + 1


def tally(votes: Votes, live: Collection[int]) -> Tally:
    """Count the votes of live regions by verdict; `unknown` is an answer, but for neither side."""
    sides = [verdict for region, verdict in votes.items() if region in live]
    degraded = sides.count("degraded")
    return Tally(sides.count("down"), degraded, degraded + sides.count("up"), len(live) - len(sides))


def verdict(votes: Votes, policy: Policy, live: Collection[int], *, is_over: bool = False) -> str | None:
    """Return the verdict of a round, or None while a vote still missing could change it."""
    count, k = tally(votes, live), needed(policy, live)
    out = 0 if is_over else count.missing
    if count.down >= k:
        return "down"
    if count.good >= k and count.down + count.missing < k:
        if 2 * count.degraded > count.good + out:
            return "degraded"
        if 2 * (count.degraded + out) <= count.good + out:
            return "up"
    if out or (not is_over and not live):
        return None
    return "unknown" if count.down + count.good < k else "split"


def health(verdict_: str, level: Level) -> tuple[str, str]:
    """Return (own, shown): the round's own health, and what is shown while the check is at this level."""
    own = verdict_ if verdict_ in ("up", "unknown") else "degraded"
    return own, "down" if level == Level.DOWN and own != "unknown" else own


def shown_status(verdict_: str, level: Level) -> str:
    if verdict_ == "unknown":
        return "unknown"
    if level == Level.DOWN:
        return "down"
    return "up" if level == Level.GOOD and verdict_ == "up" else "warn"


def step(state: State, rnd: Round, policy: Policy) -> tuple[State, list[Event]]:
    """Return the state after one settled round, and the events.

    A slot before `state.due` is late or repeated and changes nothing.
    """
    if rnd.slot < state.due:
        return state, []
    streaks, counted = _counted(state, rnd, policy)
    down, bad, ok, clean = streaks
    level, opened, by = state.level, state.opened, state.by
    events: list[Event] = [SetInterval(rnd.slot, rnd.until, *health(rnd.verdict, level))]
    if level < Level.DOWN and down.count >= policy.fail_after and down.first is not None:
        events.append(MarkDown(down.first))
        events.append(Opened(down.first, Level.DOWN) if opened is None else Worsened(opened, down.first))
        opened, by, level, streaks = down.first if opened is None else opened, rnd.k, Level.DOWN, NO_STREAKS
    elif level == Level.GOOD and bad.count >= policy.fail_after and bad.first is not None:
        events.append(Opened(bad.first, Level.WARN))
        opened, by, level, streaks = bad.first, rnd.k, Level.WARN, (down, _NO_STREAK, ok, clean)
    elif level == Level.DOWN and ok.count >= policy.recover_after and ok.first is not None and opened is not None:
        events += [Unmark(ok.first), Resolved(opened, ok.first)]
        opened, by, level, streaks = None, 0, Level.GOOD, NO_STREAKS
    elif level == Level.WARN and clean.count >= policy.recover_after and clean.first is not None and opened is not None:
        events.append(Resolved(opened, clean.first))
        opened, by, level, streaks = None, 0, Level.GOOD, NO_STREAKS
    last_notified, notices = _notices(state.last_notified, level, rnd)
    status = shown_status(rnd.verdict, level)
    return State(rnd.until, rnd.slot, level, streaks, counted, opened, by, last_notified, status), events + notices


def _counted(state: State, rnd: Round, policy: Policy) -> tuple[tuple[Streak, ...], int | None]:
    """Return the streaks with this round counted, and the last counted slot."""
    # An incident confirmed by fewer votes must be able to close once more regions are live and they disagree.
    closes = rnd.verdict == "split" and state.level > Level.GOOD and state.by < rnd.k and rnd.is_safe
    side = "up" if closes else rnd.verdict
    if side not in ("up", "degraded", "down"):
        return state.streaks, state.counted
    is_gap = state.counted is not None and rnd.slot - state.counted > GAP * policy.interval
    before = NO_STREAKS if is_gap else state.streaks
    grown = tuple(
        streak.grown(rnd.slot) if side in kind else _NO_STREAK for kind, streak in zip(_STREAK_VERDICTS, before, strict=True)
    )
    return grown, rnd.slot


def goes_on(streaks: Sequence[int | None], counted: int | None, slot: int, interval: int) -> bool:
    """Return whether an up round of a check that is up only lengthens its ok and clean streaks.

    That is the case if no failing streak is under way and the last round is close enough. `streaks` are the four
    streaks as a flat sequence of count and first slot.
    """
    down, _, bad, _, ok, _, clean, _ = streaks
    return not down and not bad and bool(ok and clean) and counted is not None and slot - counted <= GAP * interval


def _notices(last_notified: Level, level: Level, rnd: Round) -> tuple[Level, list[Event]]:
    """Compare the level with the last notification; return the level notified now, and the notices.

    A failure is notified only with a round that is itself down or degraded.
    """
    notices: list[Event] = []
    if not rnd.is_quiet and last_notified > level:
        notices.append(Notice(Level.GOOD))
        last_notified = Level.GOOD
    if not rnd.is_quiet and last_notified < level and rnd.verdict in ("down", "degraded"):
        notices.append(Notice(level))
        last_notified = level
    return last_notified, notices


def truncate(state: State, at: int, *, is_new_target: bool = False) -> tuple[State, list[Event]]:
    """Truncate the state at `at`, for an edit, pause or resume: unsettled time becomes unknown, the level is kept."""
    at = max(at, state.slot + 1)
    events: list[Event] = [SetInterval(state.due, at, "unknown", "unknown")] if state.due < at else []
    return replace(state, due=at, slot=at - 1, streaks=NO_STREAKS if is_new_target else state.streaks), events


def next_slot(after: int, policy: Policy, extras: Iterable[int] = ()) -> int:
    """Return the first slot of the sequence, regular or extra, after a moment."""
    base = max(after, policy.since - 1) - policy.phase
    grid = (base // policy.interval + 1) * policy.interval + policy.phase
    return min([grid, *(extra for extra in extras if extra > after)])


def is_of_sequence(slot: int, policy: Policy, extras: Collection[int] = ()) -> bool:
    return slot in extras or (slot >= policy.since and (slot - policy.phase) % policy.interval == 0)


def derive(
    state: State,
    rows: Rows,
    policy: Policy,
    *,
    live_at: Callable[[int], Collection[int]],
    now: int,
    extras: Sequence[int] = (),
    is_quiet: Callable[[int], bool] = lambda _slot: False,
) -> tuple[State, list[Event]]:
    """Settle all rounds that are decided or over; return the state and the events.

    A round is over when a vote for a slot at least timeout + SLACK_MS later was recorded VOTE_SETTLE_MS ago. `rows` are the
    votes recorded after `state.slot`. A stretch of slots without votes is settled in one step, however long.
    """
    newest = max((slot for slot, (recorded, _) in rows.items() if recorded <= now - VOTE_SETTLE_MS), default=-1)
    reach = newest - policy.timeout - SLACK_MS
    events: list[Event] = []
    while True:
        slot = min([state.due, *(extra for extra in extras if state.slot < extra < state.due)])
        votes, live = rows.get(slot, (0, {}))[1], live_at(slot)
        outcome = verdict(votes, policy, live, is_over=slot <= reach)
        if outcome is None:
            return state, events
        until = next_slot(slot, policy, extras)
        if not votes and slot <= reach:
            until = min([next_slot(max(reach, slot), policy, extras), *(row for row in rows if row > slot)])
        count, k = tally(votes, live), needed(policy, live)
        rnd = Round(slot, until, outcome, k, count.down + count.missing < k, is_quiet(slot))
        state, more = step(replace(state, due=slot), rnd, policy)
        events += more


def overdue_after(slot: int, policy: Policy) -> int:
    """Return the moment after which a round of this slot is overdue."""
    return slot + policy.timeout + SLACK_MS


def is_stale_news(slot: int, now: int) -> bool:
    """Return whether a round is settled so late that nobody is notified of it any more."""
    return now - slot > STALE_NEWS_MS


def unknown_from(state: State, policy: Policy, now: int) -> int | None:
    """Return the moment from which readers show `unknown` because no round is settled there, or None."""
    return state.due if now > overdue_after(state.due, policy) else None
