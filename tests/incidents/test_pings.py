"""Heartbeats through their services: rounds, incidents, intervals, and deadlines while the core is unreachable."""

from __future__ import annotations

from typing import Any

import pytest

from apps.core.clock import from_ms
from apps.core.errors import FieldError
from apps.incidents.heartbeat_machine import Signal
from apps.incidents.history import uptime
from apps.incidents.models import CheckState, Incident
from apps.incidents.selectors import shown_state
from apps.incidents.services import check_commands, receive_pings
from apps.incidents.services.deadlines import settle_deadlines
from apps.incidents.services.heartbeat_transition import Ping
from apps.incidents.services.receive_pings import receive_ping
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check, Region
from apps.monitors.regions import ensure_core_region, ensure_region, record_core_liveness
from apps.orgs.actors import SYSTEM
from apps.results.models import CheckRun, DeadLetter
from apps.results.models import Ping as KeptPing
from apps.results.stored_pings import KEPT
from tests.conftest import NOW, NOW_MS, Cast
from tests.incidents.world import World

S = 1_000
MINUTE = 60 * S


class Job:
    """A heartbeat check with a period of one minute and a grace of ten seconds; times are in milliseconds after NOW.

    `say` sends a ping. `sweep` settles passed deadlines, with the core reachable by then unless told otherwise.
    """

    def __init__(self, cast: Cast, **given: Any) -> None:
        options = {"grace_s": 10, **given.pop("options", {})}
        spec = CheckSpec(**{"name": "backup", "kind": "heartbeat", "target": "", "options": options, **given})
        self.check = check_commands.create_check(actor=SYSTEM, project=cast.project, spec=spec, resource=None, now=NOW)

    def say(self, after_ms: int, signal: Signal = Signal.SUCCESS, **more: Any) -> None:
        ping = Ping(signal, "POST", "tests", "127.0.0.1", **more)
        receive_ping(address=self.check.ping_secret, ping=ping, clock=lambda: from_ms(NOW_MS + after_ms))

    def sweep(self, after_ms: int, *, is_reachable: bool = True) -> None:
        now = from_ms(NOW_MS + after_ms)
        if is_reachable:
            Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + after_ms)
        settle_deadlines(now=now)

    def row(self) -> CheckState:
        return CheckState.objects.get(pk=self.check.pk)

    def status(self, after_ms: int) -> str:
        check = Check.objects.get(pk=self.check.pk)
        return shown_state(check=check, row=self.row(), pause=None, now=from_ms(NOW_MS + after_ms)).status

    def runs(self) -> list[tuple[int, int, str | None]]:
        rows = CheckRun.objects.filter(check_id=self.check.pk).order_by("slot")
        return [(run.slot - NOW_MS, run.verdict, run.reason) for run in rows]

    def incidents(self) -> list[tuple[str, int, int | None]]:
        def since(moment: Any) -> int | None:
            return None if moment is None else int(moment.timestamp() * 1000) - NOW_MS

        rows = Incident.objects.filter(check_row=self.check).order_by("started_at")
        return [(incident.reason, since(incident.started_at) or 0, since(incident.resolved_at)) for incident in rows]


def test_it_waits_for_its_first_signal_for_ever(cast: Cast) -> None:
    job = Job(cast)
    job.sweep(86_400_000)
    assert (job.status(86_400_000), job.runs(), job.row().deadline) == ("pending", [], None)


def test_a_signal_makes_it_up_and_silence_down_from_the_deadline(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    assert job.status(S) == "up"
    job.sweep(S + 70 * S)  # a ping in the deadline's own millisecond would be in time
    assert job.runs() == [(S, 1, None)]
    job.sweep(S + 70 * S + 1)
    assert job.status(72 * S) == "down"
    assert job.runs() == [(S, 1, None), (71 * S, 3, "heartbeat_missed")]
    assert job.incidents() == [("heartbeat_missed", 71 * S, None)]
    assert job.row().message == "expected at 2026-11-01 12:01:01 UTC, nothing came by 2026-11-01 12:01:11 UTC"
    job.say(100 * S)
    assert job.incidents() == [("heartbeat_missed", 71 * S, 100 * S)]
    sums = uptime(check=Check.objects.select_related("state").get(pk=job.check.pk), start=NOW, end=from_ms(NOW_MS + 100 * S))
    assert (sums.up, sums.down) == (70 * S, 29 * S)


def test_a_ping_at_the_deadline_is_in_time_and_a_millisecond_later_is_not(cast: Cast) -> None:
    for late, expected in ((0, [(S, 1), (71 * S, 1)]), (1, [(S, 1), (71 * S, 3), (71 * S + 1, 1)])):
        job = Job(cast, name=f"late by {late}")
        Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + 71 * S)
        job.say(S)
        job.say(71 * S + late)
        assert [run[:2] for run in job.runs()] == expected


def test_a_deadline_inside_the_cores_silence_is_unknown_and_costs_one_step(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    Region.objects.filter(slug="core").update(
        last_sent_ms=NOW_MS + 600 * S, silent_from_ms=NOW_MS + 30 * S, silent_until_ms=NOW_MS + 590 * S
    )
    job.sweep(600 * S)
    assert [(run[0] - 71 * S, run[1]) for run in job.runs()] == [(0, 0)] or job.runs()[1:] == [(71 * S, 0, "no_result")]
    assert job.incidents() == []
    assert job.status(600 * S) == "unknown"
    job.sweep(672 * S)
    assert job.incidents()[0][0] == "heartbeat_missed"


def test_a_core_that_is_still_silent_blames_nobody(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + 2 * S)
    job.sweep(300 * S, is_reachable=False)
    assert (job.status(300 * S), job.incidents()) == ("unknown", [])


def test_a_failure_says_its_exit_code_and_last_words(cast: Cast) -> None:
    job = Job(cast)
    job.say(S, Signal.FAIL, exit_code=3, body="copying\nno space left on device\n")
    row = job.row()
    assert (row.status, row.reason, row.message) == ("down", "heartbeat_failed", "exit code 3: no space left on device")
    facts = CheckRun.objects.get(check_id=job.check.pk).facts
    assert facts is not None
    assert facts["body"] == "copying\nno space left on device\n"


def test_runs_are_measured_and_an_overrun_is_an_incident(cast: Cast) -> None:
    job = Job(cast, options={"max_runtime_s": 30})
    job.say(S, Signal.START, rid="a")
    job.say(11 * S, rid="a")
    assert CheckRun.objects.get(check_id=job.check.pk).duration_ms == 10 * S
    job.say(20 * S, Signal.START)
    job.sweep(50 * S + 1)
    assert job.incidents() == [("heartbeat_overrun", 50 * S, None)]
    job.say(55 * S)
    assert job.incidents() == [("heartbeat_overrun", 50 * S, 55 * S)]


def test_a_slow_run_is_degraded(cast: Cast) -> None:
    job = Job(cast, degraded_ms=5_000)
    job.say(S, Signal.START)
    job.say(8 * S)
    assert (job.row().status, job.row().message) == ("warn", "[runtime] (7000 ms) <= 5000 ms")


def test_failures_are_confirmed_as_with_any_check(cast: Cast) -> None:
    job = Job(cast, fail_after=2)
    job.say(S)
    job.sweep(71 * S + 1)
    assert (job.status(72 * S), job.incidents()) == ("warn", [])
    job.sweep(131 * S + 1)
    assert job.incidents() == [("heartbeat_missed", 71 * S, None)]


def test_a_long_backlog_of_deadlines_is_bounded(cast: Cast) -> None:
    job = Job(cast, interval_s=5, options={"grace_s": 1})
    job.say(S)
    job.sweep(10_000 * S)
    job.sweep(10_000 * S)
    assert len(job.runs()) < 60
    assert job.incidents()[0][:2] == ("heartbeat_missed", 7 * S)
    assert job.row().deadline is not None
    assert (job.row().deadline or 0) >= NOW_MS + 10_000 * S


def test_a_pause_forgets_what_was_waited_for_and_keeps_what_is_heard(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    check_commands.pause_check(actor=SYSTEM, check_id=job.check.pk, now=from_ms(NOW_MS + 5 * S))
    job.sweep(500 * S)
    job.say(501 * S)
    assert (job.runs(), KeptPing.objects.filter(check_id=job.check.pk).count()) == ([(S, 1, None)], 2)
    check_commands.resume_check(actor=SYSTEM, check_id=job.check.pk, now=from_ms(NOW_MS + 600 * S))
    assert (job.status(600 * S), job.row().deadline) == ("pending", NOW_MS + 670 * S)
    job.sweep(671 * S)
    assert job.incidents() == [("heartbeat_missed", 670 * S, None)]


def test_an_edit_counts_from_the_last_signal_unless_that_is_over(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes={"interval_s": 600}, resource=None, now=from_ms(NOW_MS + 20 * S)
    )
    assert (job.row().deadline, job.status(30 * S)) == (NOW_MS + 611 * S, "pending")
    check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes={"interval_s": 5}, resource=None, now=from_ms(NOW_MS + 200 * S)
    )
    assert job.row().deadline == NOW_MS + 215 * S


def test_deleting_it_in_an_outage_resolves(cast: Cast) -> None:
    job = Job(cast)
    job.say(S, Signal.FAIL)
    check_commands.delete_check(actor=SYSTEM, check_id=job.check.pk, now=from_ms(NOW_MS + 5 * S))
    assert job.incidents()[0][2] == 5 * S
    with pytest.raises(Check.DoesNotExist):
        job.say(6 * S)
    job.sweep(900 * S)


def test_it_has_nothing_to_run_or_to_try(cast: Cast) -> None:
    with pytest.raises(check_commands.StateForbidsError, match="waits to be pinged"):
        check_commands.run_now(actor=SYSTEM, check_id=Job(cast).check.pk, now=NOW)


def test_it_becomes_a_probe_and_a_probe_becomes_it(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    to_http = {"kind": "http", "target": "http://127.0.0.1:1/"}
    check = check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes=to_http, resource=None, now=from_ms(NOW_MS + 2 * S)
    )
    regions = sorted(region.pk for region in cast.regions.values())
    assert (sorted(check.region_ids), job.row().deadline, job.row().extras) == (regions, None, [NOW_MS + 2 * S])
    back = {"kind": "heartbeat", "target": ""}
    check = check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes=back, resource=None, now=from_ms(NOW_MS + 3 * S)
    )
    assert check.region_ids == [ensure_core_region().pk]
    job.say(4 * S)
    assert job.status(4 * S) == "up"


def test_the_ring_keeps_the_newest(cast: Cast) -> None:
    job = Job(cast)
    for number in range(KEPT + 5):
        job.say(number, Signal.LOG, body=str(number))
    kept = KeptPing.objects.filter(check_id=job.check.pk)
    assert (kept.count(), kept.order_by("number").values_list("body", flat=True)[0]) == (KEPT, "5")


def test_slugs_are_a_projects_own(cast: Cast) -> None:
    Job(cast, options={"slug": "backup"})
    with pytest.raises(FieldError, match="slug"):
        Job(cast, name="another", options={"slug": "backup"})


def test_the_core_is_no_region_for_workers(cast: Cast) -> None:
    record_core_liveness(now=NOW)
    with pytest.raises(FieldError, match="heartbeats"):
        ensure_region(slug="core")
    with pytest.raises(FieldError, match="not an enabled region"):
        check_commands.create_check(actor=SYSTEM, project=cast.project, resource=None, now=NOW,
            spec=CheckSpec("site", "http", "http://127.0.0.1:1/", {}, regions=("core",)),
        )  # fmt: skip


def test_a_failing_check_does_not_hold_up_the_others(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [Job(cast, name=name) for name in ("broken", "sound")]
    for job in jobs:
        job.say(S)
    CheckState.objects.filter(pk=jobs[0].check.pk).update(wait={"anchor": "rubbish", "begun": []})
    Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + 90 * S)
    assert settle_deadlines(now=from_ms(NOW_MS + 90 * S)) == 1
    assert [job.status(90 * S) for job in jobs] == ["unknown", "down"]
    assert DeadLetter.objects.get().check_id == jobs[0].check.pk


def test_a_deadline_in_days_that_nobody_made_room_for(cast: Cast) -> None:
    job = Job(cast, options={"period_s": 7 * 86_400, "grace_s": 60})
    job.say(S)
    month = 30 * 86_400 * S
    Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + month)
    assert settle_deadlines(now=from_ms(NOW_MS + month)) == 1
    assert [run[1] for run in job.runs()] == [1, 3, 3, 3, 3]


def test_the_core_is_given_time_to_be_heard_before_anybody_is_blamed(cast: Cast) -> None:
    """The web server stops just before the deadline: the sweep first waits, then settles the deadline as unknown."""
    job = Job(cast)
    job.say(S)
    Region.objects.filter(slug="core").update(last_sent_ms=NOW_MS + 69 * S)
    job.sweep(72 * S, is_reachable=False)
    assert (job.runs(), job.status(72 * S)) == ([(S, 1, None)], "up")
    job.sweep(90 * S, is_reachable=False)
    assert job.runs()[1:] == [(71 * S, 0, "no_result")]
    assert job.incidents() == []


def test_a_ping_during_a_pause_counts_for_nobody_and_harms_nobody(cast: Cast) -> None:
    job = Job(cast)
    job.say(S)
    check_commands.pause_check(actor=SYSTEM, check_id=job.check.pk, now=from_ms(NOW_MS + 5 * S))
    job.say(30 * S)
    check_commands.resume_check(actor=SYSTEM, check_id=job.check.pk, now=from_ms(NOW_MS + 40 * S))
    assert job.row().deadline == NOW_MS + 110 * S


def test_a_note_is_no_edit_and_a_run_on_its_way_is_not_missed(cast: Cast) -> None:
    job = Job(cast, options={"max_runtime_s": 600})
    job.say(S)
    job.say(50 * S, Signal.START)
    check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes={"target": "restic"}, resource=None, now=from_ms(NOW_MS + 55 * S)
    )
    assert (Check.objects.get(pk=job.check.pk).revision, job.row().deadline) == (1, NOW_MS + 650 * S)
    check_commands.edit_check(
        actor=SYSTEM, check_id=job.check.pk, changes={"fail_after": 2}, resource=None, now=from_ms(NOW_MS + 60 * S)
    )
    assert job.row().deadline == NOW_MS + 130 * S


def test_what_a_probe_saw_ends_where_it_becomes_a_heartbeat(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    later = from_ms(NOW_MS + 3 * S)
    check_commands.edit_check(
        actor=SYSTEM, check_id=world.check.pk, changes={"kind": "heartbeat", "target": ""}, resource=None, now=later
    )
    check = Check.objects.select_related("state").get(pk=world.check.pk)
    sums = uptime(check=check, start=NOW, end=from_ms(NOW_MS + 100 * S))
    assert 0 < sums.up <= 3 * S  # until its next slot at most, for which there is no run
    assert sums.unknown == 100 * S - sums.up


def test_an_edit_in_the_same_millisecond_sends_a_steady_ping_the_long_way(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The edit commits between the ping's unlocked read and its update: nothing may be written for the old revision."""
    job = Job(cast)
    job.say(2 * S)
    seen = receive_pings._read_unlocked

    def edited_meanwhile(addresses: Any) -> Any:
        rows = seen(addresses)
        check_commands.edit_check(
            actor=SYSTEM, check_id=job.check.pk, changes={"fail_after": 3}, resource=None, now=from_ms(NOW_MS + S)
        )
        return rows

    monkeypatch.setattr(receive_pings, "_read_unlocked", edited_meanwhile)
    job.say(3 * S)
    assert [run.revision for run in CheckRun.objects.filter(check_id=job.check.pk).order_by("slot")] == [1, 2]
    assert job.status(3 * S) == "up"


def test_a_run_of_a_month_can_end(cast: Cast) -> None:
    job = Job(cast, options={"max_runtime_s": 80 * 86_400})
    job.say(S, Signal.START)
    job.say(30 * 86_400 * S)
    assert job.status(30 * 86_400 * S) == "up"
