"""What a coordinator does with many workers that are free at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import Pipe
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.coordinator import Coordinator
from hms_search.search.events import Event, Finished, Submitted
from hms_search.search.ledger import Surroundings
from hms_search.search.peers import Alone
from hms_search.search.racing import Ground
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Job, TrialEnded, TrialStarted, Verdict
from hms_search.search.workers import WorkerDied
from hms_search.tracking import MemoryTracker

SPACE = {
    "name": "wide",
    "base": {
        "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
        "training": {"epochs": 2, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
    },
    "parameters": {
        "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "training.batch_size": {"type": "int", "low": 4, "high": 16},
    },
}


class Instant:
    """A worker whose trials end as soon as it is handed them, with their dropout as value."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.job: Job | None = None
        self.connection, self._end = Pipe()

    @property
    def idle(self) -> bool:
        return self.job is None

    def submit(self, job: Job) -> None:
        assert self.idle
        self.job = job
        value = float(str(job.params["model.dropout"]))
        self._end.send(TrialEnded(job.number, "complete", "", 0.0, (value,), metrics={"kl_all": value}))

    def answer(self, verdict: Verdict) -> None:
        raise AssertionError(verdict)

    def receive(self) -> TrialEnded:
        self.job = None
        ended: TrialEnded = self.connection.recv()
        return ended

    def kill(self) -> WorkerDied | None:
        return None

    def close(self) -> None:
        self.connection.close()


class Late(Instant):
    """A worker of which is heard that a trial has started when it has ended, and the next one runs."""

    _before: Job | None = None

    def submit(self, job: Job) -> None:
        if self._before is not None:
            self._end.send(TrialStarted(self._before.number, "r" * 32))
        self._before = job
        super().submit(job)

    def receive(self) -> TrialEnded:
        found: TrialEnded = self.connection.recv()
        if isinstance(found, TrialEnded):
            self.job = None
        return found


class Counting(Alone):
    """The only session, which counts how often it has the study for itself."""

    turns = 0

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        self.turns += 1
        yield


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[optuna.storages.BaseStorage]:
    opened = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    yield opened
    close_storage(opened)


@dataclass(frozen=True)
class Ran:
    """A study that ran: its trials, how many were handed out before any ended, in how many turns, and what was said."""

    trials: list[FrozenTrial]
    first: int
    turns: int
    said: list[Event]


def ran(
    config: StudyConfig,
    storage: optuna.storages.BaseStorage,
    tmp_path: Path,
    *,
    workers: int,
    kind: type[Instant] = Instant,
) -> Ran:
    sampler = config.sampler.build(config.space, config.seed, 0)
    study = optuna.create_study(study_name=config.name, storage=storage, sampler=sampler)
    around = Surroundings(MemoryTracker(), "study", {}, tmp_path / "pictures", tmp_path, Ground((), ()))
    peers = Counting()
    said: list[Event | None] = []
    coordinator = Coordinator(config, study, around, notify=said.append, peers=peers)
    coordinator.recover()
    before, slots = peers.turns, [kind(slot) for slot in range(workers)]
    coordinator._hand_out(slots)
    first, turns = sum(not slot.idle for slot in slots), peers.turns - before
    assert coordinator.run(slots)
    return Ran(study.trials, first, turns, [event for event in said if event is not None])


def test_free_workers_are_handed_trials_in_one_turn_and_no_more_than_are_left(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "wide", "space": SPACE, "trials": 11, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=8)
    assert (found.first, found.turns) == (8, 1)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 11
    assert len({tuple(trial.params.values()) for trial in found.trials}) == 11
    assert found.trials[0].user_attrs["baseline"]


def test_where_many_trials_end_together_the_first_workers_go_on_before_the_last_are_told(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "wide", "space": SPACE, "trials": 60, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=40)
    assert (found.first, found.turns) == (40, 3)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 60
    said = [type(event) for event in found.said if isinstance(event, Submitted | Finished)]
    assert [(kind, len(list(same))) for kind, same in groupby(said)][:6] == [
        (Submitted, 40),
        (Finished, 16),
        (Submitted, 16),
        (Finished, 16),
        (Submitted, 4),
        (Finished, 8 + 20),
    ]


def test_a_grid_is_tried_once_by_more_workers_than_it_has_points(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    grid = {"sampler": {"name": "grid", "points": 2}, "pruner": {"name": "none"}, "trials": 20}
    found = ran(StudyConfig.model_validate({"name": "grid", "space": SPACE, **grid}), storage, tmp_path, workers=8)
    baseline, *points = found.trials
    assert baseline.user_attrs["baseline"]
    assert sorted(tuple(trial.params.values()) for trial in points) == [(0.0, 4), (0.0, 16), (0.5, 4), (0.5, 16)]


def test_a_start_that_is_heard_of_after_the_end_is_passed_over(
    storage: optuna.storages.BaseStorage, tmp_path: Path
) -> None:
    config = StudyConfig.model_validate({"name": "late", "space": SPACE, "trials": 5, "pruner": {"name": "none"}})
    found = ran(config, storage, tmp_path, workers=2, kind=Late)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 5
    assert not any("mlflow_run_id" in trial.user_attrs for trial in found.trials)
