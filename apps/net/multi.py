"""Drive libcurl transfers from an asyncio event loop, with one selector and one timer for all of them.

pycurl's own driver registers every socket with the event loop and sets a timer on every callback, which costs more CPU
per transfer (ARCHITECTURE.md, Decisions).
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import Any

import pycurl

_NEVER = math.inf
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_EVENTS = {pycurl.POLL_IN: _READ, pycurl.POLL_OUT: _WRITE, pycurl.POLL_INOUT: _READ | _WRITE}
_READY = {
    _READ: pycurl.CSELECT_IN,
    _WRITE: pycurl.CSELECT_OUT,
    _READ | _WRITE: pycurl.CSELECT_IN | pycurl.CSELECT_OUT,
}


class Multi:
    """One libcurl multi handle and its transfers, for one event loop. Must be closed before the loop ends."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: dict[pycurl.Curl, asyncio.Future[None]] = {}
        self._sockets = selectors.DefaultSelector()
        self._watched: set[int] = set()
        self._is_closing = False
        self._loop.add_reader(self._sockets.fileno(), self._on_ready)
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._set_for = _NEVER
        """When libcurl next wants to be called, and when the timer fires (possibly earlier, never later)."""
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    async def perform(self, curl: pycurl.Curl) -> None:
        """Run a transfer to its end. Raises pycurl.error. Afterwards the handle may be reused, whatever the result."""
        self._multi.add_handle(curl)
        future = self._pending[curl] = self._loop.create_future()
        try:
            await future
        finally:
            if self._pending.pop(curl, None) is not None:  # the waiting task was cancelled
                self._multi.remove_handle(curl)

    def close(self) -> None:
        self._is_closing = True
        for curl, future in list(self._pending.items()):
            del self._pending[curl]
            self._multi.remove_handle(curl)
            future.cancel()
        self._loop.remove_reader(self._sockets.fileno())
        self._multi.close()
        self._sockets.close()
        if self._timer is not None:
            self._timer.cancel()

    # --- callbacks of libcurl

    def _on_socket(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        events = _EVENTS.get(what, 0)
        if fd not in self._watched:
            if events:
                self._watched.add(fd)
                self._sockets.register(fd, events)
        elif events:
            self._sockets.modify(fd, events)
        else:
            self._watched.discard(fd)
            self._sockets.unregister(fd)

    def _on_timer(self, timeout_ms: int) -> None:
        self._due = _NEVER if timeout_ms < 0 or self._is_closing else self._loop.time() + timeout_ms / 1000
        if self._due < self._set_for:
            self._set_timer()

    # --- callbacks of the event loop

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._set_for = self._due
        self._timer = self._loop.call_at(self._due, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._set_for = None, _NEVER
        if self._due <= self._loop.time():
            self._due = _NEVER
            self._act(pycurl.SOCKET_TIMEOUT, 0)
            self._finish()
        if self._due < self._set_for:
            self._set_timer()

    def _on_ready(self) -> None:
        for key, events in self._sockets.select(0):
            self._act(key.fd, _READY[events])
        self._finish()

    def _act(self, fd: int, events: int) -> None:
        try:
            self._multi.socket_action(fd, events)
        except pycurl.error as error:  # concerns the whole multi handle: its transfers might never end
            for curl in list(self._pending):
                self._end(curl, RuntimeError(f"libcurl's multi handle failed: {error}"))

    def _finish(self) -> None:
        """Complete the futures of all finished transfers."""
        more = 1
        while more:
            more, well, failed = self._multi.info_read()
            for curl in well:
                self._end(curl, None)
            for curl, code, message in failed:
                self._end(curl, pycurl.error(code, message))

    def _end(self, curl: pycurl.Curl, error: Exception | None) -> None:
        future = self._pending.pop(curl)
        self._multi.remove_handle(curl)
        if future.done():  # cancelled in the same iteration of the event loop
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
