"""Limit processes to a share of a core, so that two cores can show the effect of more workers. Linux, as root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_PERIOD_US = 10_000


@contextmanager
def held(pids: Iterable[int], share: float) -> Iterator[None]:
    """Limit each process to `share` of a core within the block, by a cgroup (version 1 or 2) of its own."""
    made = [_group_of(pid, int(_PERIOD_US * share)) for pid in pids]
    try:
        yield
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()


def _group_of(pid: int, quota_us: int) -> Path:
    is_first = (_GROUPS / "cpu").is_dir()
    group = (_GROUPS / "cpu" if is_first else _GROUPS) / f"goruptime-bench-{pid}"
    group.mkdir()
    if is_first:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    else:
        (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
    (group / "cgroup.procs").write_text(str(pid))
    return group
