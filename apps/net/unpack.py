"""A packed body, unpacked as it comes: bounded, and told when it ends before its end. libcurl takes a cut one for whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from apps.net.errors import NetError

ACCEPTED = "gzip, deflate"
_STEP = 262_144
"""Unpacked at a time: a bomb is noticed before it bursts."""


class Unpacker:
    """Of one body. Any other coding than gzip and deflate (RFC 9110, 8.4.1) is passed on as it is."""

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        self._engine = self._made()
        self._has_begun = False

    def _made(self, *, is_raw: bool = False) -> zlib._Decompress | None:
        if self._coding in ("gzip", "x-gzip"):
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        if self._coding == "deflate":
            return zlib.decompressobj(-zlib.MAX_WBITS if is_raw else zlib.MAX_WBITS)
        return None

    def unpacked(self, data: bytes) -> Iterator[bytes]:
        """Raises NetError `protocol_error` for what is not packed as it says."""
        if self._engine is None:
            yield data
            return
        while data:
            if self._engine.eof:  # a further gzip member; of deflate, nothing may follow
                if self._coding == "deflate":
                    return
                self._engine = self._made()
                assert self._engine is not None
            try:
                part = self._engine.decompress(data, _STEP)
            except zlib.error as error:
                if self._coding == "deflate" and not self._has_begun:  # some servers send it without zlib's frame
                    self._has_begun, self._engine = True, self._made(is_raw=True)
                    assert self._engine is not None
                    continue
                raise NetError("protocol_error", f"the body is not packed as {self._coding}: {error}") from error
            self._has_begun = True
            data = self._engine.unconsumed_tail or self._engine.unused_data
            yield part

    @property
    def is_whole(self) -> bool:
        """Whether what has begun came to its end; a body of no bytes is whole."""
        return self._engine is None or self._engine.eof or not self._has_begun
