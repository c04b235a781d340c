"""A cheap HTTP target, controlled by its parent through pipes: `python -m benchmarks.target [--cert FILE]`.

Prints its port, then executes each line of its input: `down PATH`, `up PATH` or `count`. `count` prints the number of
requests so far, and how many of them were repeats for the same slot.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2048\r\nConnection: close\r\n\r\n" + b"x" * 2048
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


HALF_INTERVAL_S = 5.0


class Site:
    def __init__(self) -> None:
        self.down: set[bytes] = set()
        self.requests = 0
        self.twice = 0
        self._last: dict[bytes, float] = {}

    def seen(self, path: bytes, now: float) -> None:
        """Count a request. Two requests of one check less than half its interval apart are one slot run twice."""
        self.requests += 1
        if now - self._last.get(path, -1e9) < HALF_INTERVAL_S:
            self.twice += 1
        self._last[path] = now


class Answer(asyncio.Protocol):
    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._transport is None or b"\r\n\r\n" not in self._seen:
            return
        path = self._seen.split(b" ", 2)[1]
        self._site.seen(path, asyncio.get_running_loop().time())
        self._transport.write(_FAILED if path in self._site.down else _OK)
        self._transport.close()


async def serve(certificate: str) -> None:
    site = Site()
    loop = asyncio.get_running_loop()
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Answer(site), "127.0.0.1", 0, backlog=4096, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        if line[0] == "down":
            site.down.add(line[1].encode())
        elif line[0] == "up":
            site.down.discard(line[1].encode())
        else:
            print(site.requests, site.twice, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", default="")
    asyncio.run(serve(parser.parse_args().cert))
