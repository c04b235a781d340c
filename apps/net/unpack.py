"""A packed body, unpacked as it comes: bounded, and told when it ends before its end. libcurl takes a cut one for whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from apps.net.errors import NetError

ACCEPTED = "gzip, deflate"
_STEP = 262_144
"""Unpacked at a time: a bomb is noticed before it bursts."""
_MAX_CODINGS = 5
_GZIP_MAGIC = b"\x1f\x8b"


class Unpacker:
    """Of one body. `codings` is its Content-Encoding: those named last were applied last (RFC 9110, 8.4).

    A coding other than gzip and deflate is passed on as it is, and with it all before.
    """

    def __init__(self, codings: str) -> None:
        names = [name for part in codings.split(",") if (name := part.strip().lower()) not in ("", "identity")]
        if len(names) > _MAX_CODINGS:
            raise NetError("protocol_error", f"the body is packed {len(names)} times over")
        self._layers: list[_Layer] = []
        for name in reversed(names):
            if name not in ("gzip", "x-gzip", "deflate"):
                break
            self._layers.append(_Layer(name))

    def unpacked(self, data: bytes) -> Iterator[bytes]:
        """Raises NetError `protocol_error` for what is not packed as it says."""
        yield from _through(self._layers, data)

    @property
    def is_whole(self) -> bool:
        """Whether what has begun came to its end; a body of no bytes is whole."""
        return all(layer.is_whole for layer in self._layers)


def _through(layers: list[_Layer], data: bytes) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for part in layers[0].unpacked(data):
        yield from _through(layers[1:], part)


class _Layer:
    """One coding. What stands behind the end of a member and begins none is ignored, as browsers do."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._engine = self._new_engine()
        self._has_begun = False
        self._is_over = False
        """No further member begins: all that comes is ignored."""
        self._between = b""
        """Behind the end of a gzip member: too little yet to tell whether another one begins."""

    def _new_engine(self, *, is_raw: bool = False) -> zlib._Decompress:
        if self._coding == "deflate":
            return zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS)
        return zlib.decompressobj(zlib.MAX_WBITS | 16)

    def unpacked(self, data: bytes) -> Iterator[bytes]:
        """Raises NetError `protocol_error`."""
        while data:
            if self._is_over:
                return
            if self._engine.eof:
                data, self._between = self._between + data, b""
                if self._coding != "deflate" and len(data) < len(_GZIP_MAGIC) and _GZIP_MAGIC.startswith(data):
                    self._between = data
                    return
                self._is_over = self._coding == "deflate" or not data.startswith(_GZIP_MAGIC)
                if self._is_over:
                    return
                self._engine = self._new_engine()
            try:
                part = self._engine.decompress(data, _STEP)
            except zlib.error as error:
                if self._coding == "deflate" and not self._has_begun:  # some servers send it without zlib's frame
                    self._has_begun, self._engine = True, self._new_engine(is_raw=True)
                    continue
                raise NetError("protocol_error", f"the body is not packed as {self._coding}: {error}") from error
            self._has_begun = True
            data = self._engine.unconsumed_tail or self._engine.unused_data
            yield part

    @property
    def is_whole(self) -> bool:
        return self._engine.eof or not self._has_begun
