"""Programs that are forked from the supervisor (`core/embedded/forks.py`).

Each test forks in a helper process of its own, since a process with threads, like this one, cannot be forked safely.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from apps.core.embedded.forks import POSSIBLE, ROOT

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="copies are made on Linux alone")

_PARENT = """
import json, os, signal, sys, time
from apps.core.embedded.forks import ENDING, ForkedProcess
for number in ENDING:
    signal.signal(number, lambda *_: print("the supervisor's handler ran"))
mark = open(sys.argv[1], "w")
command = [sys.executable, *json.loads(sys.argv[2])]
copy = ForkedProcess(command, {"PATH": os.environ["PATH"], "COLOUR": "green"}, lambda: None)
if json.loads(sys.argv[3]):
    copy.send_signal(json.loads(sys.argv[3]))
said = b"".join(iter(lambda: copy.stdout.read(65536), b"")).decode()
while copy.poll() is None:
    time.sleep(0.01)
print(json.dumps({"code": copy.returncode, "said": said}))
"""


def run_copy(*command: str, number: int = 0) -> dict[str, Any]:
    """Fork a copy that runs `python` with these arguments; return its exit code (`code`) and its output (`said`).

    A signal `number` other than 0 is sent to it at once.
    """
    with tempfile.NamedTemporaryFile() as mark:
        done = subprocess.run(
            [sys.executable, "-c", _PARENT, mark.name, json.dumps(command), json.dumps(number)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def test_it_runs_a_module_with_its_arguments() -> None:
    assert run_copy("-m", "json.tool", "--help")["said"].startswith("usage: ")


@pytest.mark.parametrize(("ending", "code"), [("", 0), ("raise SystemExit(3)", 3), ("raise ValueError('so')", 1)])
def test_its_end_is_its_programs(program: Path, ending: str, code: int) -> None:
    program.write_text(ending)
    told = run_copy(str(program))
    assert told["code"] == code
    assert ("ValueError: so" in told["said"]) == (code == 1)


def test_it_shares_neither_files_nor_session_nor_environment(program: Path) -> None:
    program.write_text(
        "import json, os, sys\n"
        "files = sorted(int(name) for name in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{name}'))\n"
        "print(json.dumps([files, os.getsid(0) == os.getpid(), dict(os.environ), sys.argv, __name__]))\n"
    )
    files, leads, environment, arguments, name = json.loads(run_copy(str(program), "--port", "1")["said"])
    assert files == [0, 1, 2]
    assert leads
    assert environment["COLOUR"] == "green"
    assert "HOME" not in environment
    assert (arguments, name) == ([str(program), "--port", "1"], "__main__")


def test_it_is_named_for_what_it_runs(program: Path) -> None:
    program.write_text("print(open('/proc/self/cmdline').read().rstrip('\\0'))")
    assert run_copy(str(program), "--port", "1")["said"] == f"{sys.executable} {program} --port 1\n"


def test_its_input_is_empty(program: Path) -> None:
    program.write_text("import sys\nprint(repr(sys.stdin.read()), sys.stdin.fileno())")
    assert run_copy(str(program))["said"] == "'' 0\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_from_its_first_moment_on(program: Path, number: int) -> None:
    program.write_text("import time\ntime.sleep(20)\n")
    assert run_copy(str(program), number=number) == {"code": -number, "said": ""}
