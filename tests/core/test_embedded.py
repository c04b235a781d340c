from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.core.embedded import archive, postgres
from apps.core.embedded.folder import DataFolder, FolderError, Keys, Lock
from apps.core.embedded.supervisor import Supervisor


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[DataFolder, DataFolder]]:
    made = DataFolder(tmp_path / "one"), DataFolder(tmp_path / "two")
    yield made
    for folder in made:
        note = folder.path / "postgres.location"
        if note.exists():
            shutil.rmtree(note.read_text().splitlines()[0], ignore_errors=True)
        shutil.rmtree(folder.runtime, ignore_errors=True)


def ask(folder: DataFolder, statement: str) -> str:
    with archive._started(folder) as server:
        return server._psql(postgres.DATABASE, statement).strip()


def test_a_backup_brings_database_and_keys_into_another_folder(folders: tuple[DataFolder, DataFolder], tmp_path: Path) -> None:
    one, two = folders
    one.path.mkdir()
    ask(one, "CREATE TABLE kept AS SELECT 42 AS answer")
    file = tmp_path / "backup.tar.gz"
    archive.backup(one, Keys("signs", "new,old"), file)
    assert file.stat().st_mode & 0o077 == 0
    two.path.mkdir()
    ask(two, "CREATE TABLE replaced AS SELECT 1 AS gone")
    archive.restore(two, file)
    assert ask(two, "SELECT answer FROM kept") == "42"
    assert ask(two, "SELECT to_regclass('replaced') IS NULL") == "t"
    assert two.keys() == Keys("signs", "new,old")


def test_what_is_no_backup_is_refused_and_a_running_folder_too(folders: tuple[DataFolder, DataFolder], tmp_path: Path) -> None:
    one, _ = folders
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    with pytest.raises(FolderError, match="is not a backup"):
        archive.restore(one, rubbish)
    with pytest.raises(FolderError, match="no data"):
        archive.backup(one, Keys("", ""), tmp_path / "x")


def test_a_crash_leaves_no_server_that_seems_ready(folders: tuple[DataFolder, DataFolder]) -> None:
    one, _ = folders
    one.path.mkdir()
    assert ask(one, "SELECT 1") == "1"
    one.prepare()
    server = postgres.prepare(one)
    (server.data / "postmaster.pid").write_text("999999\n/nowhere\n1\n5432\n\n\n\nready   \n")
    server.clear_stale()
    assert not server.is_ready()
    assert ask(one, "SELECT 1") == "1"


def test_data_of_another_postgresql_is_refused(folders: tuple[DataFolder, DataFolder]) -> None:
    one, _ = folders
    one.path.mkdir()
    ask(one, "SELECT 1")
    one.prepare()
    version = postgres.prepare(one).data / "PG_VERSION"
    version.write_text("99\n")
    with pytest.raises(FolderError, match="PostgreSQL 99"):
        postgres.prepare(one)


def test_one_supervisor_a_folder(folders: tuple[DataFolder, DataFolder]) -> None:
    one, _ = folders
    one.path.mkdir()
    first, second = Lock(one), Lock(one)
    assert first.take() is None
    assert second.take() == os.getpid()
    first.release()
    assert second.take() is None
    second.release()


def test_keys_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "deep" / "data")
    assert folder.keys() == folder.keys()
    assert (folder.path / "keys.json").stat().st_mode & 0o077 == 0


def test_socket_paths_stay_short_however_deep_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / ("x" * 150))
    assert len(str(folder.postgres_sockets / ".s.PGSQL.5432")) < 107
    assert len(str(folder.valkey_socket)) < 107


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        ("separate", ("beat", "tick", "core", "upkeep", "notify", "ingest", "probe", "probe-2")),
        ("compact", ("core", "notify", "ingest", "probe", "probe-2")),
    ],
)
def test_each_program_tells_of_itself_on_a_port_of_its_own(tmp_path: Path, layout: str, names: tuple[str, ...]) -> None:
    environment = {"GORUPTIME_HEALTH_PORT": "9100"}
    supervisor = Supervisor(DataFolder(tmp_path), environment, 8000, shared="goruptime.programs", probes=2, layout=layout)
    programs = supervisor._programs({"GORUPTIME_REGION": "local"})
    ports = {child.name: child.environment["GORUPTIME_HEALTH_PORT"] for child in programs if child.name != "web"}
    assert ports == {name: str(9100 + place) for place, name in enumerate(names)}
