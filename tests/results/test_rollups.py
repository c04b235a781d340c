from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from datetime import timedelta

import pytest
from django.db import connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from apps.core.clock import DAY_MS, HOUR_MS, from_ms, to_ms
from apps.probes.reasons import Reason, Verdict
from apps.probes.wire import Run
from apps.results import latency, packer, rollups
from apps.results.histogram import BUCKET_SQL, bucket_of, merged, middle_of, percentiles
from apps.results.models import VERDICTS, DayRollup, HourRollup, LateHour, RollupCursor
from apps.results.partitions import ensure_days
from apps.results.record_runs import RecordedRun, record_runs
from tests.conftest import NOW, Cast
from tests.incidents.world import World

HOUR, DAY = HOUR_MS, DAY_MS
START = to_ms(NOW) // DAY * DAY - DAY


@given(st.lists(st.integers(0, 60_000), min_size=1, max_size=200), st.lists(st.integers(0, 60_000), max_size=200))
def test_merged_histograms_give_percentiles_of_all_runs(some: list[int], others: list[int]) -> None:
    parts = [([bucket_of(ms) for ms in values], [1] * len(values)) for values in (some, others)]
    ordered = sorted([*some, *others])
    for share, found in zip((0.5, 0.95, 1.0), percentiles(merged(parts), (0.5, 0.95, 1.0)), strict=True):
        exact = ordered[max(1, -(-int(share * 1000) * len(ordered) // 1000)) - 1]
        assert found is not None
        assert abs(found - exact) <= 0.05 * (exact + 1) + 0.05


def test_an_empty_histogram_has_no_percentile() -> None:
    assert percentiles(merged([]), (0.5, 0.99)) == [None, None]


@pytest.mark.django_db
def test_the_database_counts_in_the_same_buckets() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT duration_ms, {BUCKET_SQL} FROM generate_series(0, 60000, 7) AS duration_ms")
        assert [(ms, bucket) for ms, bucket in cursor.fetchall() if bucket_of(ms) != bucket] == []
    assert middle_of(bucket_of(1_000)) == pytest.approx(1_000, rel=0.05)


def record(world: World, slots: list[int], *, at: int, ms: int = 100, verdict: Verdict = Verdict.UP) -> None:
    reason = Reason.CONNECT_REFUSED if verdict == Verdict.DOWN else None
    runs = [Run(world.check.id, 1, slot, slot, ms, verdict, reason, "", {}) for slot in slots]
    record_runs(rows=[RecordedRun(run, world.cast.regions["eu"].id, keeps_facts=False) for run in runs], now_ms=at)


def roll_all(now_ms: int) -> int:
    return rollups.roll_up(now=from_ms(now_ms), steps=1_000)


@pytest.fixture
def world(cast: Cast) -> World:
    ensure_days(first=from_ms(START - DAY), days=4)
    return World(cast)


def test_an_hour_is_rolled_up_once_it_has_settled(world: World) -> None:
    record(world, [START + n * 60_000 for n in range(60)], at=START + HOUR, ms=80)
    record(world, [START + n * 60_000 + 1 for n in range(6)], at=START + HOUR, verdict=Verdict.DOWN)
    roll_all(START + HOUR + 60_000)
    assert not HourRollup.objects.filter(start=START).exists()
    roll_all(START + HOUR + 120_000)
    row = HourRollup.objects.get(check_id=world.check.id, start=START)
    assert (row.up, row.down, row.degraded, row.unknown) == (60, 6, 0, 0)
    assert sum(row.numbers) == 60  # the histogram counts only runs that were up or degraded


def test_a_second_time_changes_nothing(world: World) -> None:
    record(world, [START + n * 1_000 for n in range(100)], at=START + HOUR)
    roll_all(START + DAY + HOUR)
    before = list(HourRollup.objects.order_by("start").values_list()) + list(DayRollup.objects.order_by("start").values_list())
    RollupCursor.objects.all().delete()
    roll_all(START + DAY + HOUR)
    after = list(HourRollup.objects.order_by("start").values_list()) + list(DayRollup.objects.order_by("start").values_list())
    assert before == after
    assert roll_all(START + DAY + HOUR) == 0


def test_it_goes_on_where_it_stopped(world: World) -> None:
    chance = random.Random(1)
    slots = sorted(START + chance.randrange(DAY) for _ in range(500))
    record(world, slots, at=START + DAY)
    for _ in range(200):  # a worker that is killed after every single step
        if not rollups.roll_up(now=from_ms(START + 2 * DAY), steps=1):
            break
    hours = list(HourRollup.objects.filter(check_id=world.check.id))
    day = DayRollup.objects.get(check_id=world.check.id, start=START)
    assert sum(row.up for row in hours) == day.up == 500
    assert merged((r.buckets, r.numbers) for r in hours) == merged([(day.buckets, day.numbers)])


def test_runs_that_come_late_are_counted_in_hour_and_day(world: World) -> None:
    record(world, [START + 1_000], at=START + 2_000)
    roll_all(START + DAY + 10 * 60_000)
    assert DayRollup.objects.get(check_id=world.check.id).up == 1
    late = START + DAY + 11 * 60_000
    record(world, [START + 2_000, START + 3_000], at=late)
    assert LateHour.objects.count() == 1
    roll_all(late + HOUR)
    assert HourRollup.objects.get(check_id=world.check.id, start=START).up == 3
    assert DayRollup.objects.get(check_id=world.check.id, start=START).up == 3
    assert LateHour.objects.count() == 0


def test_a_series_is_the_same_whether_or_not_it_is_rolled_up(world: World) -> None:
    chance = random.Random(2)
    for ms in (40, 90, 400):
        record(world, [START + chance.randrange(DAY) for _ in range(100)], at=START + DAY, ms=ms)
    span = {"check_id": world.check.id, "start": START, "end": START + DAY, "step": HOUR}
    from_runs = latency.series(**span)  # type: ignore[arg-type]
    roll_all(START + DAY + HOUR)
    assert latency.series(**span) == from_runs  # type: ignore[arg-type]
    whole = latency.series(check_id=world.check.id, start=START, end=START + DAY, step=DAY)
    assert whole[0].runs == 300
    assert whole[0].p50 == pytest.approx(90, rel=0.06)
    exact = latency.series(check_id=world.check.id, start=START, end=START + DAY, step=HOUR // 2)
    assert sum(point.runs for point in exact) == 300


@pytest.mark.parametrize("seed", range(6))
def test_rollups_are_the_sums_of_all_runs_whenever_they_came(world: World, cast: Cast, seed: int) -> None:
    """Runs arrive late, out of order and twice; rollups and packing run in between and may stop after any step."""
    chance, now = random.Random(seed), START - DAY
    known: dict[tuple[int, int], tuple[Verdict, int]] = {}
    regions = [cast.regions[slug].id for slug in ("eu", "us")]
    while now < START + 3 * DAY:
        now += chance.choice([30_000, 10 * 60_000, HOUR, 5 * HOUR])
        first = max(START - DAY, now - chance.choice([60_000, HOUR, DAY - 1]))
        rows: list[RecordedRun] = []
        for _ in range(chance.randrange(30)):
            slot, region, ms = chance.randrange(first, now) // 1_000 * 1_000, chance.choice(regions), chance.randrange(-1, 9_000)
            verdict = chance.choice([Verdict.UP, Verdict.UP, Verdict.DEGRADED, Verdict.DOWN, Verdict.UNKNOWN])
            if slot >= START + 2 * DAY or (slot, region) in {(row.run.slot, row.region_id) for row in rows}:
                continue
            reason = None if verdict == Verdict.UP else Reason.INTERNAL
            rows.append(RecordedRun(Run(world.check.id, 1, slot, slot, ms, verdict, reason, "", {}), region, keeps_facts=False))
            known.setdefault((slot, region), (verdict, ms))
        record_runs(rows=rows, now_ms=now)
        rollups.roll_up(now=from_ms(now), steps=chance.choice([0, 1, 3, 100]))
        packer.pack_oldest_partition(now=from_ms(now), steps=chance.choice([0, 1, 5]))
    roll_all(START + 4 * DAY)
    for model, width in ((HourRollup, HOUR), (DayRollup, DAY)):
        counts: dict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        timed: dict[tuple[int, int], Counter[int]] = defaultdict(Counter)
        for (slot, region), (verdict, ms) in known.items():
            key = slot // width * width, region
            counts[key][verdict.value] += 1
            if verdict in (Verdict.UP, Verdict.DEGRADED) and ms >= 0:
                timed[key][bucket_of(ms)] += 1
        found = {(row.start, row.region_id): row for row in model.objects.filter(check_id=world.check.id)}
        assert found.keys() == counts.keys()
        for key, row in found.items():
            assert {name: getattr(row, name) for name in VERDICTS} == {name: counts[key][name] for name in VERDICTS}
            assert merged([(row.buckets, row.numbers)]) == timed[key]


def test_old_rollups_go(world: World) -> None:
    record(world, [START], at=START + 1)
    roll_all(START + 2 * DAY)
    rollups.prune_rollups(now=from_ms(START) + timedelta(days=101))
    assert (HourRollup.objects.count(), DayRollup.objects.count()) == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_a_mark_that_a_recorder_still_holds_is_not_worked_off(request: pytest.FixtureRequest) -> None:
    """The recorder's runs are not committed yet. If the mark were deleted now, their hour would never include them."""
    world = World(request.getfixturevalue("cast"))
    slot, late = START + DAY // 2, START + DAY + HOUR
    RollupCursor.objects.create(span="hour", done_until=START + DAY)
    rollups.mark_late(runs=[(world.check.id, slot)], now_ms=late)
    worked_off: list[bool] = []

    def work_off() -> None:
        worked_off.append(rollups._roll_late(from_ms(late)))
        connections.close_all()

    with transaction.atomic():
        rollups.mark_late(runs=[(world.check.id, slot)], now_ms=late)
        other = threading.Thread(target=work_off)
        other.start()
        other.join(10)
    assert (worked_off, LateHour.objects.count()) == ([False], 1)
    work_off()
    assert (worked_off, LateHour.objects.count()) == ([False, True], 0)
