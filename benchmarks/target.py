"""A target that costs little: `python -m benchmarks.target [--cert FILE]`. It speaks with its parent over standard input and output.

Prints its port; then each line `down PATH`, `up PATH` or `count` on its input is carried out; `count` prints the requests so far.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2048\r\nConnection: close\r\n\r\n" + b"x" * 2048
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Site:
    def __init__(self) -> None:
        self.down: set[bytes] = set()
        self.requests = 0


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
        self._site.requests += 1
        path = self._seen.split(b" ", 2)[1]
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
            print(site.requests, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", default="")
    asyncio.run(serve(parser.parse_args().cert))
