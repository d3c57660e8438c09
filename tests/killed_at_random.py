"""Sessions of one study on a database server, and their workers, killed at random while they run it."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from killing import kill, kill_family
from stored_trials import stored_trials


@dataclass
class Sessions:
    """Sessions of a study in working directories of their own; a killed one is started again."""

    folder: Path
    study: str
    arguments: tuple[str, ...]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=lambda: {"session": 0, "worker": 0})

    def start(self, *command: str) -> None:
        """Start a session; what it says is kept in a file."""
        number = len(self.processes)
        home = self.folder / f"session{number}"
        home.mkdir(exist_ok=True)
        self.processes.append(self._started(number, command))

    def help_until_over(self, n: int) -> None:
        """Start ``n`` sessions that help."""
        for _ in range(n):
            self.start("worker", self.study, *self.arguments)

    def kill_one(self, rng: random.Random) -> None:
        """Kill a worker or, as the third of every five, a session."""
        number, process = rng.choice([one for one in enumerate(self.processes) if one[1].poll() is None])
        workers = _workers(process.pid)
        if not workers:
            return
        if sum(self.killed.values()) % 5 == 2:
            kill_family(process.pid)
            process.wait()
            self.killed["session"] += 1
            self.processes[number] = self._started(number, ("worker", self.study, *self.arguments))
        else:
            kill(rng.choice(workers))
            self.killed["worker"] += 1

    def wait(self, timeout_s: float) -> None:
        """Wait for all to end by themselves, with success."""
        end = time.monotonic() + timeout_s
        for number, process in enumerate(self.processes):
            code = process.wait(timeout=max(1.0, end - time.monotonic()))
            assert code == 0, (self.folder / f"session{number}" / "output.txt").read_text()[-3000:]

    def stop(self) -> None:
        """Kill what a failed test left running."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _started(self, number: int, command: tuple[str, ...]) -> "subprocess.Popen[bytes]":
        home = self.folder / f"session{number}"
        with (home / "output.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "hms_search", *command],
                cwd=home, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip


def n_ended(url: str, study: str) -> int:
    """Return how many trials of a study have ended for good."""
    trials = stored_trials(url, study)
    return sum(trial.state.is_finished() and trial.user_attrs.get("outcome") != "interrupted" for trial in trials)


def _workers(pid: int) -> list[psutil.Process]:
    """Return the processes that run trials: those that a session's fork server made."""
    try:
        return [worker for child in psutil.Process(pid).children() for worker in child.children()]
    except psutil.NoSuchProcess:
        return []
