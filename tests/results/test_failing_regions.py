"""From where a check fails while others do not."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from django.test import Client

from apps.incidents.list_views import check_lines
from apps.results.failing_regions import failing_regions
from tests.conftest import Api, Cast
from tests.incidents.world import World


class Seen(NamedTuple):
    slot: int
    region_id: int
    verdict: str


@pytest.mark.parametrize(
    ("runs", "failing"),
    [
        ([], []),
        ([Seen(10, 1, "up"), Seen(10, 2, "down"), Seen(10, 3, "up")], [2]),
        ([Seen(10, 2, "down"), Seen(20, 1, "up"), Seen(20, 2, "up")], []),
        ([Seen(10, 2, "down"), Seen(60, 1, "up")], []),  # it says nothing any more
        ([Seen(10, 2, "down"), Seen(20, 1, "up")], [2]),  # its answer of this round may still come
        ([Seen(10, 9, "down"), Seen(10, 1, "up")], []),  # no region of the check any more
    ],
)
def test_the_last_run_of_each_region_counts(runs: list[Seen], failing: list[int]) -> None:
    assert failing_regions(runs, region_ids=[1, 2, 3], interval_ms=10) == failing


def test_what_fails_from_one_of_several_is_said(cast: Cast, api: Api) -> None:
    world = World(cast, regions=("eu", "us"), quorum=2)
    world.vote(world.first, eu="up", us="down")
    (line,) = check_lines(check_ids=[world.check.pk], beat_count=5, now=world.moment)
    assert line.fails_from == ["us"]
    assert api("GET", f"checks/{world.check.pk}/").json()["failing_regions"] == []  # weeks later nobody knows
    client = Client()
    client.force_login(cast.alice)
    for page in (f"/checks/{world.check.pk}/", f"/projects/{cast.project.pk}/checks/"):
        assert client.get(page).status_code == 200
