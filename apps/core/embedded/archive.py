"""Backup and restore of the embedded data: one archive with the database dump and the installation's secret keys."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from apps.core.embedded import postgres
from apps.core.embedded.folder import DataFolder, FolderError, Keys, Lock
from apps.core.embedded.supervisor import dies_with_us

_VERSION = 1


def backup(folder: DataFolder, keys: Keys, file: Path) -> None:
    """Write the archive, readable by its owner only; GoUpTime may be running. Raises FolderError."""
    with _running(folder) as server:
        done = subprocess.run(
            [str(server.binaries / "pg_dump"), "--format=custom", postgres.DATABASE],
            env=server.environment,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise FolderError(f"The dump failed: {done.stderr.decode(errors='replace').strip()}")
    about = {"version": _VERSION, "postgres": postgres.MAJOR, "made_at": int(time.time())}
    parts = {
        "about.json": json.dumps(about).encode(),
        "keys.json": json.dumps(keys.__dict__).encode(),
        "database.dump": done.stdout,
    }
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        # A new file: an existing one would keep its mode, and a process that has it open could read the keys.
        with (
            open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
            tarfile.open(fileobj=out, mode="w:gz") as tar,
        ):
            for name, content in parts.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
                tar.addfile(entry, io.BytesIO(content))
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise FolderError(f"{file} cannot be written: {error}") from error


def restore(folder: DataFolder, file: Path) -> None:
    """Replace database and keys with those of the archive; GoUpTime must not be running. Raises FolderError."""
    parts = _read(file)
    folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = Lock(folder)
    holder = lock.take()
    if holder is not None:
        raise FolderError(f"GoUpTime runs on {folder.path} (pid {holder}): stop it first.")
    try:
        with _started(folder) as server:
            server.recreate_database()
            done = subprocess.run(
                [str(server.binaries / "pg_restore"), "--no-owner", "--exit-on-error", f"--dbname={postgres.DATABASE}"],
                env=server.environment,
                input=parts["database.dump"],
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise FolderError(f"The restore failed: {done.stderr.decode(errors='replace').strip()}")
        keys = folder.path / "keys.json"
        keys.unlink(missing_ok=True)
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(parts["keys.json"])
    finally:
        lock.release()


def _read(file: Path) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as tar:
            for name in ("about.json", "keys.json", "database.dump"):
                entry = tar.extractfile(name)
                parts[name] = entry.read() if entry else b""
        if json.loads(parts["about.json"])["version"] != _VERSION:
            raise FolderError(f"{file} is of another version of GoUpTime.")
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise FolderError(f"{file} is not a backup of GoUpTime: {error}") from error
    return parts


@contextmanager
def _running(folder: DataFolder) -> Iterator[postgres.Postgres]:
    """Yield the running instance's server, or one started for this block. Raises FolderError if there is no data."""
    lock = Lock(folder) if folder.path.exists() else None
    if lock is None:
        raise FolderError(f"There is no data in {folder.path}.")
    if lock.take() is not None:
        yield postgres.prepare(folder)
        return
    try:
        with _started(folder) as server:
            yield server
    finally:
        lock.release()


@contextmanager
def _started(folder: DataFolder) -> Iterator[postgres.Postgres]:
    folder.prepare()
    server = postgres.prepare(folder)
    server.clear_stale()
    process = subprocess.Popen(
        server.command,
        env=server.environment,
        cwd="/",
        preexec_fn=dies_with_us(2),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **server.identity,
    )
    try:
        until = time.monotonic() + 120
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > until:
                raise FolderError("PostgreSQL does not start; `make run` shows why.")
            time.sleep(0.05)
        server.ensure_database()
        yield server
    finally:
        process.send_signal(2)
        process.wait(60)
