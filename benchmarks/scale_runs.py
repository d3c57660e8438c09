"""Runs trials in a study of a size, and notes what each takes: seconds, and database statements by their purpose."""

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import sqlalchemy
from optuna.storages import RDBStorage
from scale_study import FOLDS, STUDY, fill, fill_runs
from scale_workers import pipe_workers, tracker_of

from hms_search.search.contract import Contract, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.events import Event, Finished, Judged, Submitted
from hms_search.search.ledger import Surroundings
from hms_search.search.peers import joined
from hms_search.search.places import Places
from hms_search.search.racing import Ground
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig


@dataclass
class Ran:
    """What some trials took.

    ``seconds`` are those from one trial's end to the next, ``ask_s`` those until the next is handed out, ``wall_s``
    those until MLflow knew all of all trials, ``busy_s`` the coordinator's own processor time per trial;
    ``statements`` are the study's, by what they are for, ``events`` how often that was done.
    """

    seconds: list[float] = field(default_factory=list)
    ask_s: list[float] = field(default_factory=list)
    recovered_s: float = 0.0
    wall_s: float = 0.0
    busy_s: float = 0.0
    tracking_statements: float = 0.0
    statements: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


@dataclass
class Filled:
    """A study and how many trials it has."""

    places: Places
    size: int
    pruner: str

    def run(self, more: int, *, workers: int = 1, trial_s: float = 0.0, tracked: bool = True) -> Ran:
        """Run some more trials as a session does; the workers tell MLflow of those that are ``tracked``."""
        self.size += more
        config = StudyConfig.model_validate({**STUDY, "pruner": {"name": self.pruner}, "trials": self.size})
        storage = open_storage(self.places.storage)
        assert isinstance(storage, RDBStorage)
        work = self.places.trials("scale")
        tracker = tracker_of(self.places)
        parent_id = tracker.start_study(tags={}, texts={})
        notes = _Notes(storage)
        with joined(storage, "scale", work, print) as peers:
            study = open_study(config, Contract("space", "data", "folds", "all", 0), storage)
            patients = tuple(np.zeros(4, dtype=np.int64) for _ in range(FOLDS))
            ground = Ground(patients, tuple(np.ones(4, dtype=bool) for _ in range(FOLDS)))
            around = Surroundings(tracker, parent_id, {}, self.places.pictures, work, ground)
            coordinator = Coordinator(config, study, around, notify=notes.take, peers=peers)
            started = time.perf_counter()
            coordinator.recover()
            recovered_s = time.perf_counter() - started
            with pipe_workers(workers, self.places, parent_id, trial_s, tracked=tracked) as crew:
                before = crew.statements.value
                notes.begin()
                coordinator.run(crew.workers)
                crew.settle()
                ran = notes.end(more)
            ran.tracking_statements = (crew.statements.value - before) / more
        close_storage(storage)
        ran.recovered_s = recovered_s
        return ran


@cache
def filled(places: Places, size: int, *, pruner: str = "median") -> Filled:
    """Return a study of a size, with as many runs: those of one trial that was run, and copies of it."""
    study = Filled(places, 0, pruner)
    if size == 0:
        return study
    study.run(1)
    storage = open_storage(places.storage)
    assert isinstance(storage, RDBStorage)
    config = StudyConfig.model_validate({**STUDY, "trials": size})
    opened = open_study(config, Contract("space", "data", "folds", "all", 0), storage)
    fill(opened, storage, size)
    study.size = len(opened.get_trials(deepcopy=False))
    first = opened.get_trials(deepcopy=False)[0].user_attrs["mlflow_run_id"]
    fill_runs(places.tracking_uri, first, size - 1)
    close_storage(storage)
    return study


class _Notes:
    """Takes in the coordinator's events, and the statements between them."""

    def __init__(self, storage: RDBStorage) -> None:
        self._statements = 0
        self._seen = 0
        self._ran = Ran()
        self._ended: list[float] = []
        sqlalchemy.event.listen(storage.engine, "before_cursor_execute", self._count)

    def begin(self) -> None:
        """Begin to count."""
        self._seen, self._started, self._cpu = self._statements, time.perf_counter(), time.process_time()

    def take(self, event: Event | None) -> None:
        """Take in an event: what was said to the database since the last one was for it."""
        kinds = {Submitted: "ask", Judged: "judge", Finished: "tell"}
        kind = kinds.get(type(event))  # type: ignore[arg-type]
        if kind is None:
            return
        self._ran.statements[kind] += self._statements - self._seen
        self._ran.events[kind] += 1
        self._seen = self._statements
        now = time.perf_counter()
        if kind == "ask" and self._ended:
            self._ran.ask_s.append(now - self._ended[-1])
        if kind == "tell":
            self._ended.append(now)

    def end(self, trials: int) -> Ran:
        """Return what was noted."""
        self._ran.seconds = np.diff(self._ended).tolist()
        self._ran.wall_s = time.perf_counter() - self._started
        self._ran.busy_s = (time.process_time() - self._cpu) / trials
        return self._ran

    def _count(self, *_: object) -> None:
        self._statements += 1
