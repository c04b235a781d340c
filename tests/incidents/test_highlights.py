from __future__ import annotations

from datetime import timedelta

import pytest

from apps.core.clock import to_ms
from apps.incidents.highlights import highlights_of
from apps.results.models import Certificate, CheckRun
from tests.conftest import Cast
from tests.incidents.world import World


def see_certificate(world: World, days: int) -> None:
    ends = to_ms(world.moment + timedelta(days=days, hours=1))
    row = Certificate.objects.create(fingerprint=f"{days}", facts={"not_after": ends})
    CheckRun.objects.filter(check_id=world.check.pk).update(certificate_id=row.pk)


def test_certificates_that_expire_within_a_month_stand_first_to_last(cast: Cast) -> None:
    worlds = {days: World(cast, name=f"{days} days") for days in (60, 20, -2, 5)}
    for days, world in worlds.items():
        world.vote(world.first, eu="up")
        see_certificate(world, days)
    found = highlights_of(project=cast.project, now=worlds[60].moment)
    assert found is not None
    assert [(check.name, days) for check, days in found.certificates] == [("-2 days", -2), ("5 days", 5), ("20 days", 20)]
    assert {check.name for check, _ in found.slowest} <= {world.check.name for world in worlds.values()}


def test_a_large_project_has_none(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = [World(cast, name=f"c{number}") for number in range(3)]
    monkeypatch.setattr("apps.incidents.highlights._MOST_CHECKS", 2)
    assert highlights_of(project=cast.project, now=worlds[0].moment) is None
