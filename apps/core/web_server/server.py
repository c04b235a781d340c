"""The web server's process: granian parses requests and writes responses, the event loop reads bodies within limits,
threads run the WSGI application.

A slow client occupies a connection and never a thread: granian has a deadline for headers, this module one for bodies.
granian's own master process is not used, since it would need a second interpreter: the supervisor restarts us.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from granian._futures import _future_watcher_wrapper, _new_cbscheduler
from granian._granian import RSGIWorker, SocketHolder, WorkerSignal
from granian.http import HTTP1Settings

from apps.core.error_body import error_json
from apps.core.web_server.bodies import MAX_BODY_BYTES, Body, BodyTooLargeError, Memory, MemoryFullError
from apps.core.web_server.requests import Answer, Application, FastHandler, call_application, environ_of

log = logging.getLogger(__name__)

_BACKLOG = 1_024
_CONNECTIONS = 20_000
_HEADER_BYTES = 65_536
_IDLE_S = 600


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds, and how many requests may be pending."""

    headers_s: float = 10.0
    """From the start of the connection, or the previous response on it, to the end of the headers."""
    body_s: float = 20.0
    """From the headers to the end of the body."""
    stop_s: float = 10.0
    """For the requests in progress when the server is told to stop."""
    waiting: int = 1_000
    """Requests that wait for a thread or run in one. Further ones get 503: their response would come too late."""


class Server:
    """A server with one listening socket, one event loop and `threads` worker threads."""

    def __init__(
        self, application: Application, handlers: Sequence[FastHandler], *, threads: int, limits: Limits | None = None
    ) -> None:
        self._application = application
        self._handlers = handlers
        self._limits = limits or Limits()
        self._pool = ThreadPoolExecutor(threads, "web")
        self._waiting = 0
        self._memory = Memory()
        self._loop = asyncio.new_event_loop()
        self._stop = WorkerSignal()
        self._ended = asyncio.Event()

    def run(self, listening: socket.socket) -> None:
        """Serve until SIGTERM or SIGINT, then finish the requests in progress."""
        asyncio.set_event_loop(self._loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self.serve(listening)

    def serve(self, listening: socket.socket) -> None:
        """Serve until `stop` is called, which may happen in another thread."""
        self._stop.add_cb(lambda: self._loop.call_soon_threadsafe(self._ended.set))
        settings = HTTP1Settings(int(self._limits.headers_s * 1000), True, _HEADER_BYTES, False)
        # Positional arguments: granian's type stub has an older signature.
        socket_arguments: tuple[Any, ...] = (listening.detach(), False, _BACKLOG)  # granian closes it
        arguments: tuple[Any, ...] = (
            1, (None, SocketHolder(*socket_arguments)), None, 1, 4, 1, _IDLE_S, _CONNECTIONS, "1", settings,
            None, False, None, False, None, None, None, "1.3", None, [], False, (None, None),
        )  # fmt: skip
        worker: Any = RSGIWorker(*arguments)
        handler: Any = _future_watcher_wrapper(self._handle)  # type: ignore[no-untyped-call]  # granian has no types here
        scheduler: Any = _new_cbscheduler(self._loop, handler, impl_asyncio=True)  # type: ignore[no-untyped-call]  # granian has no types here
        worker.serve_str(scheduler, self._loop, self._stop)
        try:
            self._loop.run_until_complete(self._ended.wait())
        finally:
            self._pool.shutdown(wait=False)
            self._loop.close()

    def stop(self) -> None:
        """Stop serving. The process ends after `stop_s` even if clients still keep connections open."""
        deadline = threading.Timer(self._limits.stop_s, os._exit, (0,))
        deadline.daemon = True
        deadline.start()
        self._stop.set()

    # --- one request

    async def _handle(self, scope: Any, protocol: Any) -> None:
        try:
            answer = await self._answer(scope, protocol)
        except Exception:
            log.exception("%s %s could not be answered", scope.method, scope.path)
            answer = _error(scope, 500, "internal", "Something failed on our side. It was logged.")
        if scope.method == "HEAD" or not answer.body:
            protocol.response_empty(answer.status, answer.headers)
        else:
            protocol.response_bytes(answer.status, answer.headers, answer.body)

    async def _answer(self, scope: Any, protocol: Any) -> Answer:
        body = Body(self._memory)
        try:
            return await self._read(scope, protocol, body) or await self._respond(scope, body.content)
        finally:
            body.release()

    async def _read(self, scope: Any, protocol: Any, body: Body) -> Answer | None:
        """Read the body. Returns an error response if it cannot be taken."""
        if scope.headers.get("content-length", "0") == "0" and "transfer-encoding" not in scope.headers:
            return None
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for part in protocol:
                    body.add(part)
                body.end()
        except TimeoutError:
            return _error(scope, 408, "timeout", "The body did not come in time.", close=True)
        except BodyTooLargeError:
            return _error(scope, 413, "payload_too_large", f"The body is larger than {MAX_BODY_BYTES:,} bytes.", close=True)
        except MemoryFullError:
            return _error(scope, 503, "unavailable", "Too many requests with large bodies. Try again.", close=True)
        announced = scope.headers.get("content-length")
        if announced is not None and announced.isdigit() and body.size < int(announced):
            return _error(scope, 400, "bad_request", "The body ended before its announced end.", close=True)
        return None

    async def _respond(self, scope: Any, body: bytes) -> Answer:
        environ = environ_of(scope, body)
        for handler in self._handlers:
            found = handler(environ)
            answer = await found if inspect.isawaitable(found) else found
            if answer is not None:
                return answer
        if self._waiting >= self._limits.waiting:
            return _error(scope, 503, "unavailable", "Too many requests wait for an answer. Try again.")
        self._waiting += 1
        try:
            return await self._loop.run_in_executor(self._pool, call_application, self._application, environ)
        finally:
            self._waiting -= 1


def _error(scope: Any, status: int, code: str, message: str, *, close: bool = False) -> Answer:
    """Return an error response: JSON for the API, a line of text for everything else."""
    is_for_programs = scope.path.startswith("/api/")
    kind = "application/json" if is_for_programs else "text/plain; charset=utf-8"
    body = error_json(code, message) if is_for_programs else f"{message}\n".encode()
    headers = [("content-type", kind), ("cache-control", "no-store"), ("content-length", str(len(body)))]
    return Answer(status, [*headers, ("connection", "close")] if close else headers, body)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError if the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(_BACKLOG)
    return listening
