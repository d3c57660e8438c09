"""Workers are forked from a process that has imported everything: quick to start, and none the worse for it."""

import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hms_search.search import slots, workers
from hms_search.search.executors import LocalExecutor
from hms_search.search.slots import working_slots
from hms_search.search.trial import EpochEnded, Job, TrialEnded
from hms_search.search.workers import Worker, WorkerDied
from hms_search.tracking.memory import NullTracker

nothing: Any = None
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

    target = staticmethod(die_in_the_middle_of_a_message)

    def _start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=self.target, args=(theirs,))
        self._process.start()
        theirs.close()


def test_a_worker_that_is_killed_in_the_middle_of_a_message_is_dead() -> None:
    worker = Torn(0, nothing)
    worker.job = job = nothing or object()  # type: ignore[assignment]
    died = worker.receive()
    assert isinstance(died, WorkerDied)
    assert died.job is job
    assert "killed (SIGKILL)" in died.reason
    assert worker.idle
    worker.kill()


def one_epoch(job: Job, _: object, *, on_start: object, on_epoch: Any) -> TrialEnded:
    verdict = on_epoch(EpochEnded(job.number, nothing))
    return TrialEnded(job.number, "interrupted" if verdict == "interrupt" else "complete", "", 0.0)


def serve_trials(connection: Connection, run_trial: Any) -> None:
    workers._open = lambda _: nothing or SimpleNamespace(tracker=NullTracker())
    workers.run_trial = run_trial
    workers.serve(connection, nothing or SimpleNamespace(threads=1))


def serve_trials_of_one_epoch(connection: Connection) -> None:
    serve_trials(connection, one_epoch)


class Served(Torn):
    """A worker that has no data."""

    target = staticmethod(serve_trials_of_one_epoch)


def test_workers_that_wait_for_a_verdict_end_at_once_where_the_session_ends_by_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [Served(slot, nothing) for slot in range(3)]
    monkeypatch.setattr(slots, "start_workers", lambda *_: found)

    def go_wrong() -> None:
        with working_slots(LocalExecutor(), len(found), nothing):
            for worker in found[:2]:
                worker.submit(Job(worker.slot, nothing, {}, 0, {}, worker.slot))
                assert isinstance(worker.receive(), EpochEnded)
            raise KeyError("within")

    with pytest.raises(KeyError, match="within"):
        go_wrong()
    assert [worker._process.exitcode for worker in found] == [0, 0, 0]


def raise_end_of_file(*_: object, **__: object) -> TrialEnded:
    raise EOFError("No data left in file")


def serve_trials_that_meet_an_empty_file(connection: Connection) -> None:
    serve_trials(connection, raise_end_of_file)


class MeetsEmptyFile(Torn):
    """A worker in whose trials a file turns out to be empty."""

    target = staticmethod(serve_trials_that_meet_an_empty_file)


def test_what_a_trial_raises_is_not_taken_for_the_end_of_the_session() -> None:
    worker = MeetsEmptyFile(0, nothing)
    worker.submit(Job(0, nothing, {}, 0, {}, 0))
    died = worker.receive()
    assert isinstance(died, WorkerDied)
    assert died.reason == "the worker process ended with exit code 1; its traceback stands above"
    worker.kill()


def test_a_worker_whose_session_is_gone_ends_by_itself() -> None:
    idle, busy = Served(0, nothing), Served(1, nothing)
    busy.submit(Job(1, nothing, {}, 0, {}, 1))
    assert isinstance(busy.receive(), EpochEnded)
    for worker in (idle, busy):
        worker.connection.close()
        worker._process.join(timeout=20)
        assert worker._process.exitcode == 0


def end_late(connection: Connection) -> None:
    connection.send("here")
    connection.recv()
    time.sleep(2)


class Slow(Torn):
    """A worker that takes 2 s to end."""

    target = staticmethod(end_late)


def test_all_workers_are_told_to_leave_before_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Slow(slot, nothing) for slot in range(4)]
    monkeypatch.setattr(slots, "start_workers", lambda *_: found)
    with working_slots(LocalExecutor(), len(found), nothing):
        for worker in found:
            worker.receive()
        before = time.monotonic()
    assert time.monotonic() - before < 5
    assert [worker._process.exitcode for worker in found] == [0] * 4
