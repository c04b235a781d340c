"""Describe the commit and the machine that figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from tests.e2e.stack import ROOT


def described() -> dict[str, str]:
    return {"commit": _commit(), "machine": _machine()}


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    return f"{os.cpu_count()} × {model or platform.machine()}, {platform.system()}, Python {platform.python_version()}"
