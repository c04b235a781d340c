"""Real servers on the loopback for the probe tests: they answer, stall, send byte by byte, reset or flood."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
NOW_MS = time.time_ns() // 1_000_000  # the real time, at which certificates are issued and judged
Handler = Callable[[bytes, Reader, Writer], Awaitable[None]]
Talk = Callable[[Reader, Writer], Awaitable[None]]


def http(status: str = "200 OK", body: bytes = b"hello", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(answer: bytes) -> Handler:
    async def handle(_request: bytes, _reader: Reader, writer: Writer) -> None:
        writer.write(answer)
        await writer.drain()

    return handle


async def stalls(_request: bytes, _reader: Reader, _writer: Writer) -> None:
    await asyncio.sleep(30)


async def drips(_request: bytes, _reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(300):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.1)


async def resets(_request: bytes, _reader: Reader, writer: Writer) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def floods(_request: bytes, _reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()


async def floods_headers(_request: bytes, _reader: Reader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"X-Filler: " + b"y" * 1_000 + b"\r\n")
            await writer.drain()


@contextlib.asynccontextmanager
async def talked(talk: Talk, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Run a server that calls `talk` for each connection and then closes it; yield its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            await talk(reader, writer)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.close()

    server = await asyncio.start_server(connected, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def served(handler: Handler, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AbstractAsyncContextManager[int]:
    """Run a server that reads the head of a request and passes it to `handler`; yield its port."""

    async def talk(reader: Reader, writer: Writer) -> None:
        await handler(await reader.readuntil(b"\r\n\r\n"), reader, writer)

    return talked(talk, context, host)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
