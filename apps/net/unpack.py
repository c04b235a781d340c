"""Decompress a response body as it arrives, with bounded memory, and detect truncated bodies, which libcurl accepts."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from apps.net.errors import NetError

ACCEPTED = "gzip, deflate"
_STEP = 262_144
"""Bytes decompressed at a time, so that a decompression bomb is noticed before it fills the memory."""
_MAX_CODINGS = 5
_GZIP_MAGIC = b"\x1f\x8b"


class Decompressor:
    """Decompresses one body. `codings` is its Content-Encoding; the last coding was applied last (RFC 9110, 8.4).

    At a coding other than gzip and deflate decompression stops: the data is passed on with that coding still applied.
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
        """Decompress `data` piece by piece. Raises NetError `protocol_error` if it is not valid."""
        yield from _through(self._layers, data)

    @property
    def is_whole(self) -> bool:
        """Whether the compressed data is complete; an empty body is."""
        return all(layer.is_whole for layer in self._layers)


def _through(layers: list[_Layer], data: bytes) -> Iterator[bytes]:
    if not layers:
        yield data
        return
    for part in layers[0].unpacked(data):
        yield from _through(layers[1:], part)


class _Layer:
    """Decompresses one coding. Data after the end that is not another gzip member is ignored, as by browsers."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._engine = self._new_engine()
        self._has_begun = False
        self._is_over = False
        """No further gzip member follows; remaining data is ignored."""
        self._between = b""
        """Data after the end of a gzip member, too short to tell whether another member begins."""

    def _new_engine(self, *, is_raw: bool = False) -> zlib._Decompress:
        if self._coding == "deflate":
            return zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS)
        return zlib.decompressobj(zlib.MAX_WBITS | 16)

    def unpacked(self, data: bytes) -> Iterator[bytes]:
        """Decompress `data` piece by piece. Raises NetError `protocol_error` if it is not valid."""
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
                if self._coding == "deflate" and not self._has_begun:  # some servers omit the zlib header
                    self._has_begun, self._engine = True, self._new_engine(is_raw=True)
                    continue
                raise NetError("protocol_error", f"the body is not packed as {self._coding}: {error}") from error
            self._has_begun = True
            data = self._engine.unconsumed_tail or self._engine.unused_data
            yield part

    @property
    def is_whole(self) -> bool:
        return self._engine.eof or not self._has_begun
