"""Uptime from daily sums equals uptime from intervals, whatever was rewritten later, paused or not summed yet."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.incidents.history import histories, uptime, uptime_of
from apps.incidents.models import CheckState
from apps.incidents.rows import NEVER_MS
from apps.incidents.services.settled_days import sum_settled_days
from apps.monitors.models import Check, Pause
from apps.results.models import DaySum, RollupCursor, StateInterval
from apps.results.state_intervals import NewInterval, mark_intervals_down, put_intervals, restore_intervals
from tests.conftest import NOW, NOW_MS, Cast
from tests.incidents.world import World

FIRST = (to_ms(NOW) // DAY_MS - 40) * DAY_MS + 5 * 3_600_000


def a_past(cast: Cast, chance: random.Random) -> Check:
    check = World(cast).check
    StateInterval.objects.filter(check_id=check.pk).delete()
    at, rows = FIRST, []
    while at < NOW_MS - DAY_MS:
        own = chance.randrange(4)
        rows.append(StateInterval(check_id=check.pk, start=at, own=own, shown=own))
        at += chance.choice([10_000, 3_600_000, DAY_MS, 3 * DAY_MS])
    StateInterval.objects.bulk_create(rows)
    Check.objects.filter(pk=check.pk).update(created_at=from_ms(FIRST))
    CheckState.objects.filter(pk=check.pk).update(due=at, slot=at - 1)
    return Check.objects.select_related("state").get(pk=check.pk)


def sum_up() -> None:
    RollupCursor.objects.filter(span="sums").update(done_until=0)
    sum_settled_days(now=NOW, steps=50)


@pytest.mark.parametrize("seed", range(8))
def test_sums_and_intervals_agree(cast: Cast, seed: int) -> None:
    chance = random.Random(seed)
    check = a_past(cast, chance)
    for _ in range(chance.randrange(3)):
        at = chance.randrange(FIRST, NOW_MS)
        if not Pause.objects.filter(check_row=check, until_ms__gt=at).exists():
            Pause.objects.create(check_row=check, from_ms=at, until_ms=at + chance.randrange(1, 3 * DAY_MS))
    sum_up()
    assert DaySum.objects.filter(check_id=check.pk).count() == min(check.state.due, NOW_MS) // DAY_MS - FIRST // DAY_MS
    for _ in range(6):
        start = chance.randrange(FIRST, check.state.due)
        chance.choice([mark_intervals_down, restore_intervals])(check_id=check.pk, start=start)
        assert not DaySum.objects.filter(check_id=check.pk, day__gt=start - DAY_MS).exists()
        if chance.random() < 0.5:
            sum_up()
        for _ in range(5):
            begin, end = sorted(chance.sample(range(FIRST - DAY_MS, NOW_MS), 2))
            span = {"check": check, "start": from_ms(begin), "end": from_ms(end)}
            spans = histories(checks=[check], start=span["start"], end=span["end"])[check.pk]  # type: ignore[arg-type]
            assert uptime(**span) == uptime_of(spans, **span)  # type: ignore[arg-type]


def test_a_day_is_summed_when_it_is_settled_and_a_round_is_made_every_hour(cast: Cast) -> None:
    check = a_past(cast, random.Random(1))
    midnight = (FIRST // DAY_MS + 3) * DAY_MS
    CheckState.objects.filter(pk=check.pk).update(due=midnight - 1, slot=0)
    sum_up()
    assert DaySum.objects.filter(check_id=check.pk).count() == 2
    CheckState.objects.filter(pk=check.pk).update(due=midnight)
    assert sum_settled_days(now=NOW, steps=5) == 0
    assert sum_settled_days(now=NOW + timedelta(hours=1), steps=5) == 1
    assert DaySum.objects.filter(check_id=check.pk).count() == 3


def test_a_year_of_a_check_that_flaps_reads_days(cast: Cast, django_assert_max_num_queries: type) -> None:
    check = a_past(cast, random.Random(2))
    sum_up()
    with django_assert_max_num_queries(7):
        assert uptime(check=check, start=NOW - timedelta(days=365), end=NOW).ratio is not None


@pytest.mark.parametrize("ahead_ms", [2 * DAY_MS, NEVER_MS])
def test_what_is_not_over_is_not_summed_though_its_next_slot_lies_ahead(cast: Cast, ahead_ms: int) -> None:
    """The next slot is the deadline of a heartbeat, the next run of a long interval, or, for a first ping, never."""
    check = a_past(cast, random.Random(3))
    CheckState.objects.filter(pk=check.pk).update(due=min(NOW_MS + ahead_ms, NEVER_MS))
    check = Check.objects.select_related("state").get(pk=check.pk)
    sum_up()
    assert DaySum.objects.filter(check_id=check.pk).latest("day").day == NOW_MS // DAY_MS * DAY_MS - DAY_MS
    put_intervals([NewInterval(check.pk, NOW_MS - 50_000, "down", "down")])
    later = NOW + timedelta(days=1, minutes=5)
    RollupCursor.objects.filter(span="sums").update(done_until=0)
    sum_settled_days(now=later, steps=5)
    start = NOW - timedelta(days=3)
    spans = histories(checks=[check], start=start, end=later)[check.pk]
    seen = uptime(check=check, start=start, end=later)
    assert seen == uptime_of(spans, check=check, start=start, end=later)
    assert seen.down > 0


def test_a_long_past_is_summed_some_days_at_a_time_before_the_round_ends(cast: Cast) -> None:
    check = a_past(cast, random.Random(4))
    assert sum_settled_days(now=NOW, steps=1) == 1
    assert DaySum.objects.filter(check_id=check.pk).count() == 10
    assert sum_settled_days(now=NOW, steps=50) > 1
    assert DaySum.objects.filter(check_id=check.pk).count() == min(check.state.due, NOW_MS) // DAY_MS - FIRST // DAY_MS
    assert sum_settled_days(now=NOW, steps=50) == 0


def test_an_extra_slot_that_is_not_settled_holds_its_day_back(cast: Cast) -> None:
    """The check has a long interval, so its next regular slot lies far ahead; the extra slot has no result yet."""
    check = a_past(cast, random.Random(5))
    yesterday = NOW_MS // DAY_MS * DAY_MS - DAY_MS
    state = CheckState.objects.filter(pk=check.pk)
    state.update(slot=yesterday, extras=[yesterday - DAY_MS, yesterday + DAY_MS // 2], due=NOW_MS + DAY_MS)
    sum_up()
    days = DaySum.objects.filter(check_id=check.pk)
    assert days.latest("day").day == yesterday - DAY_MS
    state.update(slot=NOW_MS)
    sum_up()
    assert days.latest("day").day == yesterday
