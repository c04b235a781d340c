"""What bars of history show: time in its place, silence as silence, and trouble that stays visible however short it was."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html import unescape

from apps.core.clock import to_ms
from apps.incidents.history import histories, uptime_figures
from apps.incidents.labels import span_words
from apps.incidents.list_views import Beat, day_bar, run_bar
from apps.incidents.selectors import shown_state
from apps.incidents.services import check_commands
from apps.incidents.templatetags.bars import days_bar, time_bar
from apps.monitors.models import Check
from apps.orgs.actors import SYSTEM
from apps.results.bars import bar_of
from apps.results.uptime import Span
from tests.conftest import Cast
from tests.incidents.world import World

MINUTE = 60_000


def test_a_run_stands_in_the_cell_of_its_slot_and_silence_stays_empty() -> None:
    beats = [Beat(3 * MINUTE + 7, "up"), Beat(4 * MINUTE + 7, "down"), Beat(7 * MINUTE + 7, "up")]
    spans = [Span(3 * MINUTE + 7, 5 * MINUTE + 7, "up"), Span(5 * MINUTE + 7, 7 * MINUTE + 7, "unknown")]
    bar = run_bar(beats, spans, width=MINUTE, count=6, phase=7)
    assert [next(iter(cell), None) for cell in bar.bar.cells] == [None, "up", "down", "unknown", "unknown", "up"]
    assert {index: beat.state for index, beat in bar.beats.items()} == {1: "up", 2: "down", 5: "up"}


def test_of_two_runs_in_one_cell_the_worse_is_shown() -> None:
    bar = run_bar([Beat(10, "down"), Beat(20, "up")], [], width=100, count=2, phase=0)
    assert bar.beats[1].state == "down"


def test_a_silent_check_has_a_bar_that_ends_in_silence(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    later = world.moment + timedelta(hours=3)
    check = Check.objects.select_related("state").get(pk=world.check.pk)
    spans = histories(checks=[check], start=later - timedelta(days=1), end=later)[check.pk]
    bar = day_bar(spans, now=later)
    assert bar.cells[-1].keys() == {"unknown"}
    assert bar.cells[0] == {}, "nothing before its creation"
    figures = uptime_figures(spans, check=check, now=later)
    assert figures[0].uptime is not None
    assert figures[0].is_partial, "100 % is said of the seconds that were seen"
    assert [figure.uptime for figure in figures[1:]] == [None] * 3


def test_after_a_pause_a_check_waits_and_claims_nothing(cast: Cast) -> None:
    world = World(cast)
    world.vote(world.first, eu="up")
    at = world.moment + timedelta(minutes=5)
    check_commands.pause_check(actor=SYSTEM, check_id=world.check.pk, now=at)
    check_commands.resume_check(actor=SYSTEM, check_id=world.check.pk, now=at + timedelta(minutes=1))
    check = Check.objects.select_related("state").get(pk=world.check.pk)
    state = shown_state(check=check, row=check.state, pause=None, now=at + timedelta(minutes=1))
    assert (state.status, to_ms(state.since)) == ("pending", to_ms(at + timedelta(minutes=1)))


def test_half_a_minute_of_outage_is_a_mark_and_not_a_red_day() -> None:
    day = 86_400_000
    spans = [Span(0, day // 2, "up"), Span(day // 2, day // 2 + 30_000, "down"), Span(day // 2 + 30_000, day, "up")]
    drawn = days_bar(bar_of(spans, start=0, width=day, count=1), "Shop")
    heights = dict(re.findall(r'class="v-(\w+)" d="M2 \d+v-(\d+)"', drawn))
    assert heights == {"down": "5", "up": "29"}


def test_a_bar_tells_each_cell_in_seconds_and_itself_in_words() -> None:
    drawn = time_bar(bar_of([Span(0, 1_500, "up"), Span(1_500, 2_000, "down")], start=0, width=1_000, count=3), "Shop")
    facts = re.search(r'data-bar="([^"]+)"', drawn)
    assert facts is not None
    assert json.loads(unescape(facts[1])) == {"from": 0, "width": 1_000, "cells": [1, ["u", 1, "d", 1], 0]}
    assert 'aria-label="Shop: 75 % up, down 0 s"' in drawn
    assert span_words(0) == "0 s"
