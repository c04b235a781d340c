"""Project rules that no linter checks: sizes of modules and functions, imports, file names, where the clock is read."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rest_framework.views import APIView

from apps.api.strict import StrictRequests
from apps.net import http, resolver
from apps.notifications.registry import CHANNEL_KINDS
from apps.probes.reasons import MEANINGS, Reason
from apps.probes.registry import KINDS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for folder in ("apps", "goruptime") for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts]


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_modules_and_functions_have_a_readable_size() -> None:
    long_files = {str(path): n for path in SOURCES if (n := path.read_text().count("\n")) > 400}
    assert long_files == {}
    lengths = {f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for path in SOURCES for node in functions(path)}
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    tasks = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(ROOT / "apps/pipeline/tasks.py")}
    assert {name: n for name, n in tasks.items() if n > 15} == {}


def test_nothing_is_imported_inside_a_function() -> None:
    hidden = [
        f"{path}:{inner.lineno}"
        for path in SOURCES
        for node in functions(path)
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    ]
    assert hidden == []


def test_no_file_is_named_for_nothing() -> None:
    names = {path.name for path in SOURCES}
    assert names & {"utils.py", "helpers.py", "common.py", "managers.py", "signals.py"} == set()
    assert (ROOT / "apps/__init__.py").read_text() == ""


def test_the_clock_is_read_at_the_edges_alone() -> None:
    """Services and pure modules take `now` as an argument instead."""
    edges = (
        "pipeline/tasks.py",
        "pipeline/dispatch.py",
        "pipeline/consumer.py",
        "pipeline/timed.py",
        "core/wake.py",
        "pipeline/management",
        "operations/management",
        "operations/admin.py",
        "demo/",
        "ingress/pings.py",
        "ingress/core_liveness.py",
        "api/",
        "dashboard/views",
        "statuspages/views.py",
        "/admin.py",
        "core/embedded",
        "probes/",
        "channels/webhook.py",
    )
    readers = [str(path) for path in SOURCES if re.search(r"timezone\.now\(|datetime\.now\(|time\.time\(", path.read_text())]
    assert [path for path in readers if not any(edge in path for edge in edges)] == []


def test_every_kind_keeps_the_contract() -> None:
    modules = {path.stem for path in (ROOT / "apps/probes/kinds").glob("*.py")} - {"__init__"}
    assert modules == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())
    channels = {path.stem for path in (ROOT / "apps/notifications/channels").glob("*.py")} - {"__init__"}
    assert channels == set(CHANNEL_KINDS)


def test_every_reason_has_a_meaning_and_every_code_of_the_network_is_a_reason() -> None:
    assert set(MEANINGS) == set(Reason)
    codes = {
        code
        for module in (http, resolver)
        for code in re.findall(
            r'"((?:dns|tls|connect|network|read|protocol|truncated|blocked)_[a-z_]+)"', Path(str(module.__file__)).read_text()
        )
    }
    assert codes - {"dns_ms"} <= set(Reason)
    assert codes


def test_the_example_names_every_variable_that_is_read() -> None:
    code = "import goruptime.settings as s; print(*sorted(s.env.names))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    readers = (ROOT / "apps/probes/worker.py", ROOT / "apps/telemetry/health.py")
    worker = {name for reader in readers for name in re.findall(r'"(GORUPTIME_[A-Z_]+)"', reader.read_text())}
    listed = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == set(done.stdout.split()) | worker


@pytest.mark.parametrize("module", ["apps.probes.__main__", "apps.probes.registry", "apps.net.network"])
def test_a_worker_imports_neither_django_nor_a_database_driver(module: str) -> None:
    code = f"""
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("django", "psycopg", "rest_framework", "goruptime"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import {module}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_worker_says_what_it_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.probes"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "GORUPTIME_BROKER_URL is not set" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"GORUPTIME_SECRET_KEY": ""}, "GORUPTIME_SECRET_KEY"),
        ({"GORUPTIME_DEBUG": "yes"}, "must be true or false"),
        ({"GORUPTIME_PRIVATE_TARGETS": "maybe"}, "must be one of"),
        ({"DATABASE_URL": "mysql://x/"}, "must begin with postgresql://"),
        ({"GORUPTIME_EMAIL_URL": "pigeon://x"}, "is not console"),
        ({"GORUPTIME_DENIED_NETWORKS": "10.0.0.1/33"}, "GORUPTIME_DENIED_NETWORKS"),
        ({"GORUPTIME_SECRET_KEY_FILE": "/nonexistent"}, "cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start_with_a_sentence(change: dict[str, str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import goruptime.settings"],
        cwd=ROOT,
        env={**os.environ, **change},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert words in done.stderr


def test_every_view_of_the_api_takes_only_what_it_declares() -> None:
    views = {view for module in (ROOT / "apps/api/views").glob("*.py") for view in _views_of(module.stem)}
    assert len(views) > 25
    assert {view.__name__ for view in views if not issubclass(view, StrictRequests)} == set()


def _views_of(module: str) -> list[type]:
    found = vars(importlib.import_module(f"apps.api.views.{module}")).values()
    return [item for item in found if isinstance(item, type) and issubclass(item, APIView) and "apps.api" in item.__module__]
