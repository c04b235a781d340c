"""Read secrets from environment variables or from files that they name; used by probe workers and the core."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def secret(environment: Mapping[str, str], name: str) -> str:
    """Return the variable `name`, or the content of the file named by `<name>_FILE`; empty if neither is set.

    Raises ValueError with a sentence if the file cannot be read.
    """
    path = environment.get(f"{name}_FILE")
    if not path:
        return environment.get(name, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE cannot be read: {error}") from error
