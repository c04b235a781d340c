"""Packing: readers get the same runs before and after it, an interruption loses none, a run takes 12 bytes at most."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.management import call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from apps.core.clock import DAY_MS, from_ms, to_ms
from apps.incidents.models import CheckState
from apps.probes.reasons import Reason, Verdict
from apps.probes.wire import Run
from apps.results import latency, packer, retention, rollups
from apps.results.models import CheckRun, DayRollup, HourRollup, PackCursor, PackedRuns
from apps.results.packing import StoredRun, pack, unpack
from apps.results.partitions import drop_empty_days, ensure_days, partition_names, rebuild_closed_indexes
from apps.results.record_runs import RecordedRun, record_runs
from apps.results.runs import RunQuery, as_row, run_page, runs_within
from apps.results.selectors import RecentRunsQuery, recent_runs
from tests.conftest import NOW, Api, Cast
from tests.incidents.world import World

DAY = to_ms(NOW) // DAY_MS * DAY_MS - 5 * DAY_MS
LATER = from_ms(DAY + 5 * DAY_MS)

phases = st.none() | st.integers(0, 10**8).map(lambda hundredths: hundredths / 100)
small = st.none() | st.integers(0, 2**15 - 1)
stored = st.builds(
    StoredRun,
    slot=st.integers(0, 2**48),
    revision=st.integers(0, 2**31 - 1),
    started_after_ms=st.integers(-(2**31), 2**31 - 1),
    duration_ms=st.integers(-1, 2**31 - 1),
    recorded_after_s=st.integers(0, 2**31 - 1),
    certificate_id=small,
    dns_ms=phases, connect_ms=phases, tls_ms=phases, first_byte_ms=phases,
    verdict=st.integers(0, 3),
    code=small,
    reason=st.none() | st.sampled_from(["connect_refused", "http_status"]),
    facts=st.none() | st.text(max_size=40),
)  # fmt: skip


@given(st.lists(stored, min_size=1, max_size=30, unique_by=lambda run: run.slot))
def test_what_is_packed_is_what_is_unpacked(runs: list[StoredRun]) -> None:
    ordered = sorted(runs, key=lambda run: run.slot)
    assert unpack(pack(ordered)) == ordered


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", pack([StoredRun(1, 1, 0, 5, 0, None, None, 1.5, None, None, 1, 200, None, None)])[:-3]]
)
def test_what_is_cut_or_foreign_is_an_error_not_a_run(data: bytes) -> None:
    with pytest.raises(ValueError, match="packed runs"):
        unpack(data)


class Past:
    """A check with two regions; `record` adds its past runs."""

    def __init__(self, cast: Cast, interval_s: int = 60) -> None:
        self.world = World(cast, regions=("eu", "us"), interval_s=interval_s)
        self.check = self.world.check
        self.step = interval_s * 1000
        self.regions = {slug: cast.regions[slug].id for slug in ("eu", "us")}
        self.random = random.Random(7)

    def record(self, start: int, end: int, now_ms: int | None = None) -> int:
        rows = []
        for slot in range(start + 1_234, end, self.step):
            for region_id in self.regions.values():
                down = self.random.random() < 0.02
                facts: dict[str, Any] = {
                    "phases_ms": {n: round(self.random.uniform(0.1, 40), 2) for n in ("dns", "connect", "first_byte")}
                }
                verdict, reason = (Verdict.DOWN, Reason.CONNECT_REFUSED) if down else (Verdict.UP, None)
                run = Run(
                    self.check.id,
                    1,
                    slot,
                    slot + self.random.randint(0, 9),
                    self.random.randint(20, 300),
                    verdict,
                    reason,
                    "no" if down else "",
                    {**facts, "status": 200},
                )
                rows.append(RecordedRun(run, region_id, keeps_facts=down))
        return record_runs(rows=rows, now_ms=now_ms or end)

    def seen(self) -> dict[str, Any]:
        """Return what every reader of runs returns for the check."""
        asked = RunQuery(self.check.id, DAY - DAY_MS, DAY + 3 * DAY_MS)
        shown = [_plain(run) for run in runs_within(asked, limit=100_000)]
        pages, before = [], DAY + 3 * DAY_MS
        while before:
            page = run_page(check_id=self.check.id, before=before, since=DAY, verdict="down", limit=20)
            pages += [_plain(run) for run in page.runs]
            before = page.before or 0
        wanted = [RecentRunsQuery(self.check.id, 30 * DAY_MS)]
        return {
            "all": shown,
            "reversed": [_plain(run) for run in runs_within(asked, limit=100_000, is_newest_first=False)],
            "down": pages,
            "last": recent_runs(wanted=wanted, count=1, now_ms=DAY + 3 * DAY_MS)[self.check.id][0].slot,
            "recent": [run.slot for run in recent_runs(wanted=wanted, count=50, now_ms=DAY + 3 * DAY_MS)[self.check.id]],
            "exact": latency.series(check_id=self.check.id, start=DAY, end=DAY + 7_200_000, step=600_000),
            "hours": latency.series(check_id=self.check.id, start=DAY, end=DAY + DAY_MS, step=3_600_000),
        }


def _plain(run: CheckRun) -> tuple[Any, ...]:
    def rounded(phase: float | None) -> float | None:
        return None if phase is None else round(phase, 2)

    return (
        run.slot, run.region_id, run.revision, run.started_after_ms, run.duration_ms, run.recorded_after_s, run.certificate_id,
        *(rounded(phase) for phase in (run.dns_ms, run.connect_ms, run.tls_ms, run.first_byte_ms)),
        run.verdict, run.code, run.reason, run.facts,
    )  # fmt: skip


@pytest.fixture
def past(cast: Cast) -> Past:
    ensure_days(first=from_ms(DAY), days=3)
    return Past(cast)


def pack_all(steps: int = 1_000) -> int:
    for _ in range(2):  # the second time takes the hours that were marked as late
        rollups.roll_up(now=LATER, steps=10_000)
    return packer.pack_oldest_partition(now=LATER, steps=steps)


def unpack_row(row: PackedRuns) -> list[CheckRun]:
    return [as_row(run, row.check_id, row.region_id) for run in unpack(bytes(row.data))]


def hot_days() -> list[str]:
    return [name[-8:] for name in partition_names() if name[-8:] <= f"{from_ms(DAY + 2 * DAY_MS):%Y%m%d}"]


def test_every_answer_is_the_same_before_while_and_after(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = past.record(DAY, DAY + DAY_MS) + past.record(DAY + DAY_MS, DAY + DAY_MS + 7_200_000)
    rollups.roll_up(now=LATER, steps=10_000)
    before = past.seen()
    assert len(before["all"]) == recorded
    assert before["reversed"] == before["all"][::-1]
    assert pack_all(steps=1) == 1  # packed, and the partition not dropped yet: the runs are in both
    assert past.seen() == before
    pack_all()
    assert (CheckRun.objects.filter(check_id=past.check.id).count(), hot_days()) == (0, [])
    assert past.seen() == before
    assert PackedRuns.objects.filter(check_id=past.check.id).count() == 4


def test_a_fast_check_is_packed_by_the_hour(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer, "_RUNS_A_ROW", 100)
    past.record(DAY, DAY + 10_800_000)
    before = past.seen()["all"]
    pack_all()
    starts = PackedRuns.objects.filter(check_id=past.check.id).values_list("start", flat=True)
    assert sorted(set(starts)) == [DAY, DAY + 3_600_000, DAY + 7_200_000]
    assert past.seen()["all"] == before


def test_facts_that_weigh_much_are_packed_by_the_hour_and_join_what_was_packed_by_the_day(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.record(DAY, DAY + 7_200_000)
    before = list(CheckRun.objects.filter(check_id=past.check.id))
    pack_all()
    ensure_days(first=from_ms(DAY), days=1)
    past.step = 59_000
    past.record(DAY, DAY + 7_200_000, now_ms=to_ms(LATER))
    hot = {(run.slot, run.region_id) for run in CheckRun.objects.filter(check_id=past.check.id)}
    monkeypatch.setattr(packer, "_FACTS_A_READ", 10)
    pack_all()
    assert hot_days() == []
    rows = PackedRuns.objects.filter(check_id=past.check.id)
    assert {row.start for row in rows} == {DAY, DAY + 3_600_000}
    found = [(run.slot, run.region_id) for row in rows for run in unpack_row(row)]
    assert len(found) == len(set(found)) == sum(row.count for row in rows)
    assert set(found) == {(run.slot, run.region_id) for run in before} | hot


def test_a_point_over_midnight_counts_the_packed_day_and_the_one_after(past: Past) -> None:
    past.record(DAY, DAY + DAY_MS + 7_200_000)
    span = {"check_id": past.check.id, "start": DAY, "end": DAY + DAY_MS + 7_200_000, "step": 3_599_000}
    before = latency.series(**span)  # type: ignore[arg-type]
    pack_all(steps=2)
    assert len(hot_days()) == 2
    assert latency.series(**span) == before  # type: ignore[arg-type]


def test_pages_hold_every_region_where_one_is_packed_by_the_hour_and_one_by_the_day(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packer, "_RUNS_A_ROW", 100)
    eu = past.regions.pop("eu")
    past.record(DAY, DAY + 10_800_000)
    past.regions = {"eu": eu}
    past.record(DAY + 9_000_000, DAY + 10_800_000)
    asked = RunQuery(past.check.id, DAY, DAY + DAY_MS)
    before = {ways: [_plain(run) for run in runs_within(asked, limit=50, is_newest_first=ways)] for ways in (True, False)}
    pack_all()
    after = {ways: [_plain(run) for run in runs_within(asked, limit=50, is_newest_first=ways)] for ways in (True, False)}
    assert after == before
    assert len({region_id for _, region_id, *_ in after[True]}) == 2


def test_a_run_that_comes_while_its_day_is_packed_is_not_lost(past: Past) -> None:
    past.record(DAY, DAY + 3_600_000)
    pack_all(steps=1)
    late = Run(past.check.id, 1, DAY + 77, DAY + 77, 5, Verdict.UP, None, "", {})
    record_runs(rows=[RecordedRun(late, past.regions["eu"], keeps_facts=False)], now_ms=DAY + 3_600_000)
    pack_all()
    assert hot_days() == []
    slots = [run.slot for run in runs_within(RunQuery(past.check.id, DAY, DAY + DAY_MS), limit=1_000)]
    assert slots.count(DAY + 77) == 1
    assert len(slots) == len(set(slots)) + len(slots) // 2 == 121


def test_a_run_of_a_day_that_is_packed_already_joins_it_and_its_rollup(past: Past) -> None:
    past.record(DAY, DAY + 3_600_000)
    pack_all()
    ensure_days(first=from_ms(DAY), days=1)
    late = Run(past.check.id, 1, DAY + 77, DAY + 77, 5, Verdict.DOWN, Reason.HEARTBEAT_MISSED, "", {})
    record_runs(rows=[RecordedRun(late, past.regions["eu"], keeps_facts=True)], now_ms=to_ms(LATER))
    pack_all()
    assert hot_days() == []
    row = PackedRuns.objects.get(check_id=past.check.id, region_id=past.regions["eu"])
    assert (row.count, bool(row.verdicts & 8)) == (61, True)
    hour = HourRollup.objects.get(check_id=past.check.id, region_id=past.regions["eu"], start=DAY)
    assert hour.up + hour.down + hour.degraded + hour.unknown == 61


def test_nothing_is_packed_before_it_is_rolled_up_and_two_days_old(past: Past) -> None:
    past.record(DAY, DAY + 3_600_000)
    assert packer.pack_oldest_partition(now=LATER, steps=100) == 0
    rollups.roll_up(now=LATER, steps=10_000)
    assert packer.pack_oldest_partition(now=from_ms(DAY + 3 * DAY_MS - 1), steps=100) == 0
    assert packer.pack_oldest_partition(now=from_ms(DAY + 3 * DAY_MS), steps=100) > 0


def test_an_interrupted_step_leaves_nothing_half_done(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    past.record(DAY, DAY + 3_600_000)
    before = past.seen()["all"]
    rollups.roll_up(now=LATER, steps=10_000)
    with monkeypatch.context() as broken:
        broken.setattr(PackCursor, "save", Mock(side_effect=RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            packer.pack_oldest_partition(now=LATER, steps=1)
    assert PackedRuns.objects.count() == 0
    pack_all()
    assert past.seen()["all"] == before


def test_a_run_costs_a_dozen_bytes_packed(cast: Cast) -> None:
    ensure_days(first=from_ms(DAY), days=1)
    past = Past(cast, interval_s=10)
    count = past.record(DAY, DAY + DAY_MS)
    pack_all()
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_column_size(p.*)) + 40 * count(*) FROM results_packedruns p")  # 40: index, header
        per_run = cursor.fetchone()[0] / count
    assert per_run < 12


def test_a_project_keeps_runs_as_long_as_it_says_and_they_are_written_first(past: Past, tmp_path: Path) -> None:
    past.record(DAY, DAY + 3_600_000)
    past.record(DAY + DAY_MS, DAY + DAY_MS + 3_600_000)
    shown = past.seen()["all"]
    pack_all()
    project = past.check.project
    project.retention_days = 3
    project.save()
    assert retention.drop_old_runs(now=from_ms(DAY + 3 * DAY_MS + 1), steps=10, export_to=tmp_path) == 0
    moment = from_ms(DAY + 4 * DAY_MS + 1)
    assert retention.drop_old_runs(now=moment, steps=10, export_to=tmp_path) == 1
    left = [run.slot for run in runs_within(RunQuery(past.check.id, 0, to_ms(NOW)), limit=1_000)]
    assert left == [row[0] for row in shown if row[0] >= DAY + DAY_MS]
    (file,) = tmp_path.rglob("*.jsonl.gz")
    assert file.parent.name == str(project.pk)
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert len(lines) == 120
    assert {line["check"] for line in lines} == {str(past.check.id)}
    assert {line["region"] for line in lines} == {"eu", "us"}
    assert all(line["phases_ms"].keys() == {"dns", "connect", "first_byte"} for line in lines)


def test_a_project_whose_file_cannot_be_written_keeps_its_runs_and_holds_up_no_other(
    past: Past, cast: Cast, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    past.record(DAY, DAY + 3_600_000)
    pack_all()
    first, other = sorted([cast.project, cast.others_project], key=lambda project: project.pk)
    strange = World(replace(cast, project=cast.others_project)).check
    kept = PackedRuns.objects.filter(check_id=past.check.id)
    for row in kept:
        row.check_id = strange.pk
        row.save(force_insert=True)
    for project in (first, other):
        project.retention_days = 3
        project.save()
    (tmp_path / str(first.pk)).write_text("a file where its folder should be")
    assert retention.drop_old_runs(now=LATER, steps=10, export_to=tmp_path) == 1
    left = set(PackedRuns.objects.values_list("check_id", flat=True))
    assert left == set(first.checks.values_list("pk", flat=True)) & {past.check.pk, strange.pk}
    assert f"project {first.pk}" in caplog.text


def test_a_day_of_many_checks_goes_in_slices(past: Past, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(retention, "_CHECKS", 1)
    past.record(DAY, DAY + 3_600_000)
    second = World(past.world.cast, regions=("eu", "us"), interval_s=60)
    past.check = second.check
    past.record(DAY, DAY + 3_600_000)
    pack_all()
    project = past.check.project
    project.retention_days = 3
    project.save()
    assert retention.drop_old_runs(now=LATER, steps=1, export_to=tmp_path) == 1
    assert PackedRuns.objects.values("check_id").distinct().count() == 1
    assert retention.drop_old_runs(now=LATER, steps=9, export_to=tmp_path) == 1
    assert len(list(tmp_path.rglob("*.jsonl.gz"))) == 2


def test_rollups_are_made_anew_from_packed_runs(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    past.record(DAY, DAY + DAY_MS)
    pack_all()
    made = {model: list(model.objects.order_by("check_id", "region_id", "start").values()) for model in (HourRollup, DayRollup)}
    assert len(made[HourRollup]) == 48
    HourRollup.objects.filter(start__lt=DAY + 7_200_000).delete()
    HourRollup.objects.update(up=0)
    DayRollup.objects.update(up=0)
    call_command("backfill", f"{from_ms(DAY):%Y-%m-%d}", f"{from_ms(DAY):%Y-%m-%d}")
    assert {model: list(model.objects.order_by("check_id", "region_id", "start").values()) for model in made} == made
    assert "48 hours of 1 checks" in capsys.readouterr().out


def test_a_strangers_project_keeps_its_own(past: Past, cast: Cast) -> None:
    past.record(DAY, DAY + 3_600_000)
    pack_all()
    cast.others_project.retention_days = 3
    cast.others_project.save()
    assert retention.drop_old_runs(now=NOW + timedelta(days=30), steps=10, export_to=None) == 0


def test_pages_of_the_api_go_on_through_packed_days_and_back(past: Past, api: Api) -> None:
    past.record(DAY, DAY + 3_600_000)
    pack_all()
    world = past.world
    world.vote(world.first, eu="up", us="up")
    assert CheckState.objects.get(pk=past.check.id).status == "up"
    forward, backward, path = [], [], f"checks/{past.check.id}/runs/?limit=25&to=2026-11-02T00:00:00Z"
    while path:
        page = api("GET", path).json()
        forward.append(page["results"])
        last, path = path, (page["next"] or "").partition("/api/v1/")[2]
    assert sum(map(len, forward)) == 122
    path = last
    while path:
        page = api("GET", path).json()
        backward.append(page["results"])
        path = (page["previous"] or "").partition("/api/v1/")[2]
    assert [row for rows in backward[::-1] for row in rows] == [row for rows in forward for row in rows]
    downs = api("GET", f"checks/{past.check.id}/runs/?verdict=down&region=eu&limit=200").json()["results"]
    expected = [row for rows in forward for row in rows if row["verdict"] == "down" and row["region"] == "eu"]
    assert downs == expected
    assert api("GET", f"checks/{past.check.id}/runs/?cursor=nonsense").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_the_index_of_a_day_gone_by_is_rebuilt_once() -> None:
    ensure_days(first=from_ms(DAY), days=1)
    day = f"check_runs_{from_ms(DAY):%Y%m%d}"
    assert day not in rebuild_closed_indexes(now=from_ms(DAY + DAY_MS))
    assert day in rebuild_closed_indexes(now=from_ms(DAY + DAY_MS + 700_000))
    assert rebuild_closed_indexes(now=from_ms(DAY + DAY_MS + 700_000)) == []
    drop_empty_days()
