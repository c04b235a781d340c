"""Every string that people read goes through gettext."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from apps.core.templatetags.look import SCRIPT_WORDS

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = [
    path
    for path in (ROOT / "templates").rglob("*.*")
    if path.parts[-2] != "admin" and path.name not in ("styleguide.html", "live.html")
]
_TAGS = re.compile(
    r"\{% comment %\}.*?\{% endcomment %\}|\{% blocktranslate.*?%\}.*?\{% endblocktranslate %\}|\{%.*?%\}|\{\{.*?\}\}|<!doctype html>",
    re.DOTALL,
)
_READ_ATTRIBUTES = re.compile(r'\s(?:aria-label|title|placeholder|alt|content)="([^"]*)"')
_SAME_IN_EVERY_LANGUAGE = {
    "GoUpTime", "UTC", "HTTP", "OpenAPI", "p50", "p95", "p99", "JSON", "Enter", "ms", "width=device-width", "initial-scale=1", "noindex",
    "https", "example", "org", "health", "b", "n", "x",
}  # fmt: skip


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z][A-Za-z0-9=-]*", text)) - _SAME_IN_EVERY_LANGUAGE


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_template_says_nothing_past_gettext(path: Path) -> None:
    text = _TAGS.sub(" ", path.read_text())
    text = re.sub(r"<(script|style|code|pre)\b.*?</\1>", " ", text, flags=re.DOTALL)
    said = " ".join(_READ_ATTRIBUTES.findall(text))
    between = re.sub(r"<[^>]*>", " ", text, flags=re.DOTALL)
    between = re.sub(r"&\w+;|<[^>]*$", " ", between)
    assert words_of(between) | {word for word in words_of(said) if not word.startswith("1")} == set()


def test_no_line_of_a_template_a_style_or_a_script_is_long() -> None:
    long = {
        f"{path.name}:{number}": len(line)
        for folder in ("templates", "static/css", "static/js")
        for path in (ROOT / folder).rglob("*.*")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if len(line) > 140
    }
    assert long == {}


def test_scripts_say_only_what_the_server_translates() -> None:
    said = set()
    for path in (ROOT / "static/js").glob("*.js"):
        source = path.read_text()
        said |= set(re.findall(r'say\("([^"]+)"\)', source))
        for table in re.findall(r"const (?:WORDS|SMALL) = \{([^}]*)\}", source):
            said |= set(re.findall(r'"([^"]+)"', table))
    assert said <= set(SCRIPT_WORDS)


_READ_KEYWORDS = {"label", "help_text"}
_READ_CALLS = {"messages.success", "messages.error"}


def test_forms_and_messages_of_the_dashboard_go_through_gettext() -> None:
    plain = []
    for path in (ROOT / "apps/dashboard").rglob("*.py"):
        if path.name == "styleguide.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            said = [keyword.value for keyword in node.keywords if keyword.arg in _READ_KEYWORDS]
            said += node.args[1:2] if ast.unparse(node.func) in _READ_CALLS else []
            plain += [f"{path.name}:{one.lineno}" for one in said if isinstance(one, (ast.Constant, ast.JoinedStr))]
    assert plain == []
