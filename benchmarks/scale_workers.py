"""Workers whose trials do nothing or sleep: threads of a few processes of their own, each at the end of a pipe.

Each tells MLflow of its trial as a worker does, and the coordinator of every epoch, whose verdict it awaits. Sixteen
share a process, so that a machine of two cores drives 64 of them. Workers that are not ``tracked`` tell MLflow nothing:
what that takes of their processors is not this machine's where they are elsewhere.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier

import numpy as np
import sqlalchemy
from scale_study import EPOCHS, FOLDS
from sqlalchemy.engine import Engine

from hms_search.host_memory import collect_rarely
from hms_search.search.places import Places
from hms_search.search.trial import EpochEnded, Job, TrialEnded, TrialStarted
from hms_search.search.workers import Speech, Worker, lag_of
from hms_search.tracking import Tracker, open_journaled
from hms_search.tracking.memory import NullTracker
from hms_search.training.results import Epoch

_SPAWN = multiprocessing.get_context("spawn")
_SHARING = 16
Tally = Synchronized
"""A number that processes share."""


class PipeWorker(Worker):
    """A worker that is somewhere at the other end of a pipe."""

    def __init__(self, slot: int, connection: Connection) -> None:
        self.slot, self.job, self._run_id, self._connection = slot, None, "", connection


@dataclass(frozen=True)
class Crew:
    """Workers, what counts their statements to MLflow's database, and the ends of their pipes."""

    workers: list[Worker]
    statements: Tally
    pipes: list[Connection]

    def settle(self) -> None:
        """Let them go, and wait until they have told MLflow all."""
        for pipe in self.pipes:
            pipe.send(None)
        for pipe in self.pipes:
            pipe.recv()


@contextmanager
def pipe_workers(count: int, places: Places, parent_id: str, trial_s: float, *, tracked: bool = True) -> Iterator[Crew]:
    """Give workers whose trials sleep ``trial_s`` in all, connected to MLflow; they are to be settled."""
    pipes = [_SPAWN.Pipe() for _ in range(count)]
    shares = [[theirs for _, theirs in pipes[first : first + _SHARING]] for first in range(0, count, _SHARING)]
    ready, statements = _SPAWN.Barrier(1 + len(shares)), _SPAWN.Value("q", 0)
    processes = [
        _SPAWN.Process(
            target=serve_all, args=(share, places, parent_id, trial_s, ready, statements, lag_of(count), tracked)
        )
        for share in shares
    ]
    for process in processes:
        process.start()
    ready.wait(timeout=120)
    yield Crew(
        [PipeWorker(slot, ours) for slot, (ours, _) in enumerate(pipes)], statements, [ours for ours, _ in pipes]
    )
    for process in processes:
        process.join(timeout=60)


def serve_all(
    connections: list[Connection],
    places: Places,
    parent_id: str,
    trial_s: float,
    ready: Barrier,
    statements: Tally,
    lag_s: float,
    tracked: bool,
) -> None:
    """Be all workers."""
    collect_rarely()  # as workers' processes do
    os.environ["MLFLOW_SQLALCHEMYSTORE_POOL_SIZE"] = str(_SHARING)  # one for each, as in processes of their own

    def count(*_: object) -> None:
        with statements.get_lock():
            statements.value += 1

    sqlalchemy.event.listen(Engine, "before_cursor_execute", count)
    all_connected = threading.Barrier(1 + len(connections))
    threads = [
        threading.Thread(target=serve, args=(connection, tracker, parent_id, trial_s, slot, all_connected))
        for slot, connection in enumerate(connections)
        for tracker in [tracker_of(places, lag_s=lag_s) if tracked else NullTracker()]
    ]
    for thread in threads:
        thread.start()
    all_connected.wait()
    ready.wait()
    for thread in threads:
        thread.join()


def tracker_of(places: Places, *, lag_s: float | None = None) -> Tracker:
    return open_journaled(places.tracking_uri, places.artifacts, places.journals("scale"), study="scale", lag_s=lag_s)


def serve(
    connection: Connection,
    tracker: Tracker,
    parent_id: str,
    trial_s: float,
    slot: int,
    all_connected: threading.Barrier,
) -> None:
    """Run trials until told to stop, from when MLflow is connected, as a worker does."""
    tracker.study_run()
    all_connected.wait()
    rng = np.random.default_rng(slot)
    speech = Speech(connection)
    while (job := connection.recv()) is not None:
        speech.say(ran(job, speech, tracker, parent_id, trial_s, rng))
    connection.send(tracker.send_waiting())


def ran(
    job: Job, speech: Speech, tracker: Tracker, parent_id: str, trial_s: float, rng: np.random.Generator
) -> TrialEnded:
    """Run a trial without training it: its seconds are slept, a share in each epoch."""
    run = tracker.start_run(
        f"trial {job.number}", parent_id=parent_id, params=job.params, tags=job.tags, texts={"config.yaml": "a: 1\n"}
    )
    run.when_named(lambda run_id: speech.say(TrialStarted(job.number, run_id)))
    folds, started = [], time.monotonic()
    for fold in range(FOLDS):
        for number in range(EPOCHS):
            step = fold * EPOCHS + number
            time.sleep(max(0.0, started + trial_s * (step + 1) / (FOLDS * EPOCHS) - time.monotonic()))
            value = float(rng.uniform(0.5, 1.5))
            metrics = {"kl_all": value, "accuracy": 0.5, "loss": value}
            epoch = Epoch(fold, number, EPOCHS, value, value, metrics, 60.0, 1e-3, position=fold, step=step)
            run.log({f"{name}/fold{fold}": one for name, one in metrics.items()}, step=number)
            if speech.ask(EpochEnded(job.number, epoch)) != "continue":
                run.finish("pruned", reason="the search stopped it", metrics={}, files={})
                return TrialEnded(job.number, "pruned", run.id, 60.0)
        folds.append(value)
    mean = float(np.mean(folds))
    run.finish("complete", metrics={"kl_all": mean}, files={})
    return TrialEnded(job.number, "complete", run.id, 60.0, (mean,), metrics={"kl_all": mean}, fold_values=tuple(folds))
