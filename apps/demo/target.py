"""The demo's HTTP target: a web server on loopback whose endpoints fail and recover on schedule, and by hand at `/`."""

from __future__ import annotations

import asyncio
import html
import random
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from apps.demo.plan import PARTS, Part, is_broken, path_of

_READ_S = 5.0
_MAX_HEAD = 16_384


@dataclass
class Target:
    """The state of the target. `forced` holds the endpoints that were set by hand, which overrides the schedule."""

    started: float = field(default_factory=time.monotonic)
    forced: dict[str, bool] = field(default_factory=dict)

    def is_down(self, part: Part) -> bool:
        return self.forced.get(part.path, is_broken(part, time.monotonic() - self.started))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, path, _ = head.split(" ", 2)
                length = next((int(h.partition(":")[2]) for h in head.lower().splitlines() if h.startswith("content-length:")), 0)
                body = (await reader.readexactly(min(length, _MAX_HEAD))).decode(errors="replace")
            status, content = await self._respond(method, path.partition("?")[0], body)
            extra = "Location: /\r\n" if status == 303 else ""
            data = content.encode()
            writer.write(
                f"HTTP/1.1 {status} -\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(data)}\r\n"
                f"{extra}Connection: close\r\n\r\n".encode()
            )
            writer.write(data)
            await writer.drain()
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client does not speak HTTP, or has disconnected
        except asyncio.CancelledError:
            pass  # shutdown during a response; asyncio in Python 3.11 would log a traceback
        finally:
            writer.close()

    async def _respond(self, method: str, path: str, body: str) -> tuple[int, str]:
        part = path_of(PARTS).get(path)
        if part is not None:
            await asyncio.sleep((part.base_ms * random.uniform(0.8, 1.3) + part.slow_ms) / 1000)
            return (503, "out of order") if self.is_down(part) else (200, f"Welcome to {part.name}. All is well.")
        if path == "/hook":
            return 200, "heard"
        if path == "/switch" and method == "POST":
            asked = parse_qs(body)
            known = path_of(PARTS).get(asked.get("path", [""])[0])
            if known is not None:
                self.forced[known.path] = asked.get("to", [""])[0] == "break"
            return 303, ""
        return (200, self._page()) if path == "/" else (404, "not found")

    def _page(self) -> str:
        rows = []
        for part in path_of(PARTS).values():
            state, act = ("broken", "Heal") if self.is_down(part) else ("well", "Break")
            rows.append(
                f"<tr><td>{html.escape(part.name)}<td>{state}<td><form method=post action=/switch>"
                f"<input type=hidden name=path value='{html.escape(part.path)}'>"
                f"<button name=to value={act.lower()}>{act}</button></form>"
            )
        return _PAGE.format(rows="".join(rows))


_PAGE = (
    "<!doctype html><html lang=en><title>Demo target</title><meta name=viewport content='width=device-width'>"
    "<style>body{{font:16px system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}}"
    "td{{padding:.3rem 1rem .3rem 0}}</style><h1>Demo target</h1>"
    "<p>What the demo watches. Break something, and look at the dashboard.<table>{rows}</table>"
)


async def serve(port: int) -> asyncio.Server:
    """Listen on loopback at the port, or at a free one if it is taken."""
    target = Target()
    try:
        return await asyncio.start_server(target.answer, "127.0.0.1", port, limit=_MAX_HEAD)
    except OSError:
        return await asyncio.start_server(target.answer, "127.0.0.1", 0, limit=_MAX_HEAD)
