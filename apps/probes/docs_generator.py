"""Generate docs/probes.md from the registry: `python -m apps.probes.docs_generator`; with `--check` only compare.

The module docstrings of the kinds and of `conditions` become part of that page.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from apps.probes.conditions import __doc__ as conditions_said
from apps.probes.contract import Kind
from apps.probes.reasons import MEANINGS
from apps.probes.registry import KINDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "probes.md"
_TYPES = {"whole": "number", "flag": "true/false", "list": "list", "lines": "list", "headers": "object"}
_HEAD = """# Probes

Written from the registry by `make docs`; `make check` compares. Every kind has the fields of a check (README) and these options,
all of them optional. Secret options are encrypted at rest, sealed on their way to the region, and shown masked.
"""


def page() -> str:
    kinds = [_kind(kind) for kind in KINDS.values()]
    return "\n".join([_HEAD, *kinds, _conditions(), _reasons()])


def _kind(kind: Kind) -> str:
    said = inspect.cleandoc(sys.modules[(kind.run or kind.parse).__module__].__doc__ or "").partition(": ")[2]
    target, options = kind.example
    defaults: dict[str, Any] = kind.parse(target, {}).stored()
    rows = [
        f"| `{field.name}` | {_type(kind, field.name, field.shape)} | {_code(defaults[field.name])} | {_described(field)} |"
        for field in kind.option_fields
    ]
    head = f"## `{kind.name}`: {kind.title}\n\nTarget: {kind.asks}. It proves that {said}\n"
    example = json.dumps({"name": kind.title, "kind": kind.name, "target": target, "options": options}, ensure_ascii=False)
    shown = f"```json\n{example}\n```\n"
    return "\n".join([head, shown, "| option | type | default | what it does |", "|---|---|---|---|", *rows, ""])


def _type(kind: Kind, name: str, shape: str) -> str:
    return f"{_TYPES.get(shape, 'text')}{', secret' if name in kind.secret_options else ''}"


def _code(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _described(field: Any) -> str:
    choices = ", ".join(f"`{value}`" for value, _ in field.choices) if field.choices else ""
    parts = [
        f"{field.label}." if field.label[-1] not in ".?…" else field.label,
        field.help,
        f"One of {choices}." if choices else "",
    ]
    return " ".join(part for part in parts if part).replace("|", "\\|")


def _conditions() -> str:
    return f"## Assertions\n\n{inspect.cleandoc(conditions_said or '')}\n"


def _reasons() -> str:
    rows = [f"| `{reason}` | {m.verdict} | {m.words} | {m.advice} |" for reason, m in MEANINGS.items()]
    return "\n".join(["## Reasons\n", "| reason | verdict | what it means | what to do |", "|---|---|---|---|", *rows, ""])


def main() -> int:
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        return 0
    if PAGE.exists() and PAGE.read_text() == page():
        return 0
    sys.stderr.write(f"{PAGE.name} is not what the registry says: run `make docs`\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
