"""Tenants' regular expressions, evaluated by RE2, which does not backtrack and takes time linear in the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from apps.probes.contract import OptionError

LONGEST = 1_000
_MEMORY_BYTES = 512 << 10
"""For the states that RE2 keeps of one pattern; without room for more it goes on without them, more slowly."""
_KEPT = 1_000
"""Compiled patterns kept: 512 MB even if every one of them needs all its memory."""
_LARGEST = 500
"""Limit for the size of RE2's compiled program: the time per character grows with it."""


def check(field: str, pattern: str) -> None:
    """Raise OptionError if a pattern is too large or invalid for RE2 (https://github.com/google/re2/wiki/Syntax)."""
    if len(pattern) > LONGEST:
        raise OptionError(field, f"holds a pattern of more than {LONGEST:,} characters")
    try:
        if compiled(pattern).programsize > _LARGEST:
            raise OptionError(field, f"{pattern[:60]!r} is too large a pattern: fewer and smaller repetitions")
    except re2.error as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise OptionError(field, f"{pattern[:60]!r} is not a regular expression: {said}") from error


@lru_cache(maxsize=_KEPT)
def compiled(pattern: str) -> Any:
    """Return the compiled pattern for matching text."""
    return re2.compile(pattern, options=_options())


@lru_cache(maxsize=_KEPT)
def compiled_for_bytes(pattern: str) -> Any:
    """Return the compiled pattern for matching bytes.

    `.` and `\\xff` match one byte; a character beyond ASCII matches its UTF-8 bytes.
    """
    options = _options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode(), options=options)


def _options() -> Any:
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    return options
