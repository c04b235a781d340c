"""The regions from which a check fails at the moment, while it succeeds from others."""

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
        ([Seen(10, 2, "down"), Seen(60, 1, "up")], []),  # too old to count
        ([Seen(10, 2, "down"), Seen(20, 1, "up")], [2]),  # its run of this round may still arrive
        ([Seen(10, 9, "down"), Seen(10, 1, "up")], []),  # no longer a region of the check
    ],
)
def test_the_last_run_of_each_region_counts(runs: list[Seen], failing: list[int]) -> None:
    assert failing_regions(runs, region_ids=[1, 2, 3], interval_ms=10) == failing


def test_what_failing_regions_one_of_several_is_said(cast: Cast, api: Api) -> None:
    world = World(cast, regions=("eu", "us"), quorum=2)
    world.vote(world.first, eu="up", us="down")
    (line,) = check_lines(check_ids=[world.check.pk], now=world.moment)
    assert line.failing_regions == ["us"]
    assert api("GET", f"checks/{world.check.pk}/").json()["failing_regions"] == []  # by the real clock it is old
    client = Client()
    client.force_login(cast.alice)
    for page in (f"/checks/{world.check.pk}/", f"/projects/{cast.project.pk}/checks/"):
        assert client.get(page).status_code == 200
