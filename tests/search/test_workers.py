"""Workers are forked from a process that has imported everything: quick to start, and none the worse for it."""

import multiprocessing
import os
import signal
import struct
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hms_search.search.workers import Worker, WorkerDied

PROGRAM = """
import multiprocessing
import torch
from hms_search.search import workers


def use_threads(answers):
    torch.set_num_threads(2)
    answers.send(float(torch.ones(4_000_000).to(torch.float64).sum()))


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    context.Process(target=use_threads, args=(there,), daemon=True).start()
    print(here.recv() if here.poll(30) else "no answer")
"""


def test_a_forked_worker_uses_several_threads(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "4000000.0\n", done.stderr


def die_in_the_middle_of_a_message(connection: Connection) -> None:
    os.write(connection.fileno(), struct.pack("!i", 1_000_000) + b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)


class Torn(Worker):
    """A worker that is killed while it says something."""

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=die_in_the_middle_of_a_message, args=(theirs,))
        self._process.start()
        theirs.close()


def test_a_worker_that_is_killed_in_the_middle_of_a_message_is_dead() -> None:
    nothing: Any = None
    worker = Torn(0, nothing)
    worker.job = job = nothing or object()  # type: ignore[assignment]
    died = worker.receive()
    assert isinstance(died, WorkerDied)
    assert died.job is job
    assert "killed (SIGKILL)" in died.reason
    assert worker.idle
    worker.kill()
