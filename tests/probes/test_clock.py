from __future__ import annotations

import pytest

from apps.probes.core_time import CoreClock


class Wall:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.mark.parametrize("off", [3_000, -3_000, 3_600_000])
def test_a_clock_that_is_off_is_corrected(off: int) -> None:
    wall = Wall()
    clock = CoreClock(wall)
    for delay in (40, 5, 80, 5):
        clock.observe(wall.ms - off - delay)
        wall.ms += 1_000
    assert clock.is_settled()
    assert clock.measured_ms == off + 5
    assert abs(clock.now_ms() - (wall.ms - off)) <= 5


def test_the_network_is_not_a_clock() -> None:
    wall = Wall()
    clock = CoreClock(wall)
    clock.observe(wall.ms - 400)
    assert clock.now_ms() == wall.ms


def test_an_old_queue_is_not_a_slow_clock() -> None:
    wall = Wall()
    clock = CoreClock(wall)
    for age in (60_000, 30_000, 10_000, 20):
        clock.observe(wall.ms - age)
        wall.ms += 100
        assert not clock.is_settled()
    wall.ms += 3_000
    assert clock.is_settled()
    assert clock.offset_ms == 0


def test_nothing_runs_before_the_first_message() -> None:
    wall = Wall()
    clock = CoreClock(wall)
    wall.ms += 60_000
    assert not clock.is_settled()


def test_an_offset_is_forgotten_after_an_hour() -> None:
    wall = Wall()
    clock = CoreClock(wall)
    clock.observe(wall.ms + 5_000)
    wall.ms += 61 * 60_000
    clock.observe(wall.ms - 3)
    assert clock.offset_ms == 0
