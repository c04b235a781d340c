"""Regular expressions of tenants, matched in time linear to the text: RE2, which has no backtracking to blow up."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from apps.probes.contract import OptionError

LONGEST = 1_000
_LARGEST = 500
"""Of RE2's program: the time for each character grows with it."""


def check(field: str, pattern: str) -> None:
    """Raises OptionError on the field for what RE2 cannot read (https://github.com/google/re2/wiki/Syntax)."""
    if len(pattern) > LONGEST:
        raise OptionError(field, f"holds a pattern of more than {LONGEST:,} characters")
    try:
        if compiled(pattern).programsize > _LARGEST:
            raise OptionError(field, f"{pattern[:60]!r} is too large a pattern: fewer and smaller repetitions")
    except re2.error as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise OptionError(field, f"{pattern[:60]!r} is not a regular expression: {said}") from error


@lru_cache(maxsize=5_000)
def compiled(pattern: str) -> Any:
    """For texts."""
    return re2.compile(pattern, options=_options())


@lru_cache(maxsize=5_000)
def compiled_for_bytes(pattern: str) -> Any:
    """For what need not be text: `.` and `\\xff` are a byte, a character beyond ASCII is its UTF-8 bytes."""
    options = _options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode(), options=options)


def _options() -> Any:
    options = re2.Options()
    options.max_mem = 4 << 20
    options.log_errors = False
    return options
