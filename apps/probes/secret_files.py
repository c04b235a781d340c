"""Secrets of an environment, which may be files: a probe worker and the core read them alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def secret(environment: Mapping[str, str], name: str) -> str:
    """The variable, or the content of the file that NAME_FILE names; empty without either. Raises ValueError, in words."""
    path = environment.get(f"{name}_FILE")
    if not path:
        return environment.get(name, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}_FILE cannot be read: {error}") from error
