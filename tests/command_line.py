"""The command line as a real process, for the end-to-end tests."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hms_search.cli import main


class CommandLine:
    """Runs ``hms-search`` in a working directory, in this process or in one of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        monkeypatch.setenv("COLUMNS", "200")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the command in a process group of its own, as a shell does."""
        process = subprocess.Popen(
            [sys.executable, "-m", "hms_search", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def stop_all(self) -> None:
        """Kill what a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run the command in this process and return what it printed; its exit code must be ``code``."""
        self._monkeypatch.setattr(sys, "argv", ["hms-search", *arguments])
        self._capsys.readouterr()
        with own_settings(), pytest.raises(SystemExit) as caught:
            main()
        captured = self._capsys.readouterr()
        output = captured.out + captured.err
        assert (caught.value.code or 0) == code, output
        return output


@contextmanager
def own_settings() -> Iterator[None]:
    """Forget afterwards what a command left in the environment for the processes it starts, as its end would."""
    before = {name: value for name, value in os.environ.items() if name.startswith("HMS_SEARCH_")}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("HMS_SEARCH_")]:
            del os.environ[name]
        os.environ.update(before)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C: the signal reaches the whole process group."""
    os.killpg(process.pid, signal.SIGINT)
