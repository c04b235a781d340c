"""Packs runs of a check in a region into one value, a few bytes per run. Pure and lossless.

Stored by column, since neighbouring values are similar; a column in which all values are equal holds that value once.
Slots are stored as differences, phases as integer hundredths of a millisecond, the precision that workers report. The
whole is compressed with zlib.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import msgspec

_VERSION = 1
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A stored run without check and region; `facts` is JSON text."""

    slot: int
    revision: int
    started_after_ms: int
    duration_ms: int
    recorded_after_s: int
    certificate_id: int | None
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    verdict: int
    code: int | None
    reason: str | None
    facts: str | None


_PHASES = ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms")
_WHOLE = ("revision", "started_after_ms", "duration_ms", "recorded_after_s", "certificate_id", "verdict", "code")
_WIDTHS = ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))


class _Numbers(msgspec.Struct, array_like=True):
    """Integers, stored as value - `least` + 1, with 0 for None.

    The bytes are split into planes, the lowest first: the low bytes vary, the high ones hardly do and compress well.
    """

    least: int
    width: int
    planes: bytes


_Column = _Numbers | int | None
"""An integer or None is the value of all runs."""


class _Packed(msgspec.Struct, array_like=True):
    version: int
    count: int
    first: int
    steps: _Column
    whole: dict[str, _Column]
    phases: dict[str, _Column]
    reasons: _Column
    texts: list[str]
    """The strings that `reasons` refers to by index."""
    facts: dict[int, str]


_DECODER = msgspec.msgpack.Decoder(_Packed)


def pack(runs: Sequence[StoredRun]) -> bytes:
    """Pack one or more runs, which must be in slot order."""
    texts = sorted({run.reason for run in runs if run.reason is not None})
    packed = _Packed(
        version=_VERSION,
        count=len(runs),
        first=runs[0].slot,
        steps=_column([after.slot - before.slot for before, after in pairwise(runs)]),
        whole={name: _column([getattr(run, name) for run in runs]) for name in _WHOLE},
        phases={name: _column([_hundredths(getattr(run, name)) for run in runs]) for name in _PHASES},
        reasons=_column([None if run.reason is None else texts.index(run.reason) for run in runs]),
        texts=texts,
        facts={index: run.facts for index, run in enumerate(runs) if run.facts is not None},
    )
    return zlib.compress(msgspec.msgpack.encode(packed), _LEVEL)


def unpack(data: bytes) -> list[StoredRun]:
    """Return the packed runs. Raises ValueError for data that `pack` of this version did not write."""
    try:
        packed = _DECODER.decode(zlib.decompress(data))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"packed runs cannot be read: {error}") from error
    if packed.version != _VERSION:
        raise ValueError(f"packed runs are of version {packed.version}, this program reads {_VERSION}")
    count = packed.count
    slots = accumulate((int(step or 0) for step in _values(packed.steps, count - 1)), initial=packed.first)
    revisions, started, durations, recorded, certificates, verdicts, codes = (
        _values(packed.whole[name], count) for name in _WHOLE
    )
    phases = [[_milliseconds(value) for value in _values(packed.phases[name], count)] for name in _PHASES]
    reasons = [None if index is None else packed.texts[index] for index in _values(packed.reasons, count)]
    facts = [packed.facts.get(index) for index in range(count)]
    columns: list[Iterable[Any]] = [
        slots, revisions, started, durations, recorded, certificates, *phases, verdicts, codes, reasons, facts
    ]  # fmt: skip
    return [StoredRun(*row) for row in zip(*columns, strict=True)]


def _column(values: Sequence[int | None]) -> _Column:
    if not values or all(value == values[0] for value in values):
        return values[0] if values else None
    least = min(value for value in values if value is not None)
    most = max(value for value in values if value is not None) - least + 1
    width, code = next((width, code) for width, code in _WIDTHS if most < 1 << (8 * width))
    numbers = array(code, [0 if value is None else value - least + 1 for value in values])
    if sys.byteorder == "big":
        numbers.byteswap()
    raw = numbers.tobytes()
    return _Numbers(least, width, b"".join(raw[plane::width] for plane in range(width)))


def _values(column: _Column, count: int) -> Sequence[int | None]:
    if not isinstance(column, _Numbers):
        return [column] * count
    raw = bytearray(len(column.planes))
    for plane in range(column.width):
        raw[plane :: column.width] = column.planes[plane * count : (plane + 1) * count]
    numbers = array(dict(_WIDTHS)[column.width], bytes(raw))
    if sys.byteorder == "big":
        numbers.byteswap()
    return [None if number == 0 else number + column.least - 1 for number in numbers]


def _hundredths(phase_ms: float | None) -> int | None:
    return None if phase_ms is None else round(phase_ms * 100)


def _milliseconds(hundredths: int | None) -> float | None:
    return None if hundredths is None else hundredths / 100
