"""Masks that stand for stored secrets in pages and answers, and mean “keep it” when they come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "••••••"
"""Shown in place of a stored secret; sent back unchanged, it keeps the secret."""


def merge_masked(new: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Merge new options into stored ones: a mask stands for the stored value of the same name."""
    merged: dict[str, Any] = {}
    for name, value in new.items():
        before = kept.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = merge_masked(value, before)
        else:
            merged[name] = before if value == MASK and before is not None else value
    return merged
