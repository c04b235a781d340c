"""The demo's job: pings that it starts, works for a moment, and pings its exit code. A few of its runs fail."""

from __future__ import annotations

import asyncio
import logging
import random
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

_EVERY_S, _TIMEOUT_S = 25.0, 5.0
_FAILS = 0.04


async def run_for_ever(ping_url: str) -> None:
    while True:
        await _say(ping_url, "/start")
        await asyncio.sleep(random.uniform(0.6, 3))
        fails = random.random() < _FAILS
        words = "dump: no space left on device" if fails else f"dump: {random.randint(180, 240)} MB in 12 tables"
        await _say(ping_url, "/1" if fails else "/0", words)
        await asyncio.sleep(_EVERY_S)


async def _say(ping_url: str, signal: str, words: str = "") -> None:
    url, body = urlsplit(ping_url), words.encode()
    head = f"POST {url.path}{signal} HTTP/1.1\r\nHost: {url.netloc}\r\nUser-Agent: demo-job\r\n"
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(url.hostname, url.port or 80)
            writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        log.info("the demo's job could not report: %s", error)
