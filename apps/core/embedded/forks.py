"""Our programs as forks of the supervisor, so that the modules they share are imported once and held in memory once.

Linux only: system libraries elsewhere are not fork-safe. The supervisor forks while it has one thread, no event loop
and no connection. The settings are loaded before the fork: a variable that differs per program has an effect only where
the program reads it from the environment itself.
"""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
POSSIBLE = sys.platform == "linux"
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FILES = 65_536

if POSSIBLE:
    from setproctitle import getproctitle, setproctitle

    getproctitle()  # locates argv in memory; impossible once the environment has changed


def load(module: str) -> None:
    """Import what the programs share and freeze the garbage collector: pages that it writes to are no longer shared."""
    importlib.import_module(module)
    gc.collect()
    gc.freeze()


class ForkedProcess:
    """A fork of this process that runs a Python command line, with as much of `subprocess.Popen` as is needed."""

    def __init__(self, command: list[str], environment: Mapping[str, str], prepare: Callable[[], None]) -> None:
        ours, theirs = os.pipe()
        process = multiprocessing.get_context("fork").Process(target=_become, args=(command, environment, theirs, prepare))
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # a child must not run our handler before it resets it
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        os.close(theirs)
        self._process = process
        self.stdout = FileIO(ours)

    @property
    def returncode(self) -> int | None:
        """Return the exit code: None while the process runs, the negative signal number if a signal ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self._process.pid is not None and self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(command: list[str], environment: Mapping[str, str], output: int, prepare: Callable[[], None]) -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    prepare()
    os.setsid()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, _FILES)  # above all the supervisor's lock file, which a fork would keep locked
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # multiprocessing's stdin was among those closed
    os.environ.clear()
    os.environ.update(environment)
    setproctitle(" ".join(command))
    arguments = command[1:]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
