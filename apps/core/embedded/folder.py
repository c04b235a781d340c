"""The data folder of a local run: its keys, its sockets, its lock."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path


class FolderError(Exception):
    """The data folder cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Keys:
    secret_key: str
    encryption_key: str
    """Comma-separated: a restored backup has every key that was in use."""


@dataclass(frozen=True)
class DataFolder:
    """The data folder, and a runtime folder for the sockets, since a Unix socket's path has at most 107 bytes."""

    path: Path

    @property
    def runtime(self) -> Path:
        name = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"goruptime-{os.getuid()}-{name}"

    @property
    def postgres_sockets(self) -> Path:
        return self.runtime / "pg"

    @property
    def valkey_socket(self) -> Path:
        return self.runtime / "valkey.sock"

    @property
    def database_url(self) -> str:
        return f"postgresql://goruptime@/goruptime?host={self.postgres_sockets}"

    @property
    def broker_url(self) -> str:
        return f"redis+socket://{self.valkey_socket}"

    @property
    def cache_url(self) -> str:
        """Return the URL of a database other than the broker's: clearing the cache must not touch its queues."""
        return f"unix://{self.valkey_socket}?db=1"

    def prepare(self) -> None:
        """Create the data folder and the runtime folder where missing, with restrictive modes. Raises FolderError."""
        if self.path.exists() and not self.path.is_dir():
            raise FolderError(f"{self.path} is a file: GORUPTIME_DATA_DIR must name a folder.")
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.runtime.mkdir(exist_ok=True, mode=0o755)
            owner = self.runtime.lstat()
        except OSError as error:
            raise FolderError(f"The data folder {self.path} cannot be made: {error}") from error
        if self.runtime.is_symlink() or owner.st_uid != os.getuid():
            raise FolderError(f"{self.runtime} belongs to somebody else: remove it, or set TMPDIR to a folder of your own.")
        self.runtime.chmod(0o711)  # PostgreSQL may run as another user, who has to pass through

    def keys(self) -> Keys:
        """Return the secret keys of this installation, created on the first call. Raises FolderError."""
        file = self.path / "keys.json"
        if self.path.exists() and not self.path.is_dir():
            raise FolderError(f"{self.path} is a file: GORUPTIME_DATA_DIR must name a folder.")
        try:
            return Keys(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        keys = Keys(secrets.token_urlsafe(48), base64.urlsafe_b64encode(os.urandom(32)).decode())
        draft = file.with_suffix(f".{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            json.dump(keys.__dict__, out)
        with contextlib.suppress(FileExistsError):  # another process was faster: its keys are used
            os.link(draft, file)
        draft.unlink()
        return Keys(**json.loads(file.read_text(encoding="utf-8")))


class Lock:
    """File lock: one supervisor per data folder. The kernel releases it when the process ends, even by SIGKILL."""

    def __init__(self, folder: DataFolder) -> None:
        self._path = folder.path / "supervisor.lock"
        self._file = -1

    def take(self) -> int | None:
        """Take the lock. Returns None on success, else the pid of the supervisor that holds it (0 if unknown)."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode().strip()
            os.close(self._file)
            return int(holder) if holder.isdigit() else 0
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)
        return None

    def release(self) -> None:
        os.close(self._file)
