"""The legs of a trial: how often it was gone on with, which says whose word of its run counts, whatever clocks say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hms_search.errors import CheckpointError
from hms_search.search.contract import contract_of, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.racing import Ground
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Job, TrialEnded, Verdict
from hms_search.search.workers import WorkerDied
from hms_search.tracking import MemoryTracker
from hms_search.tracking.memory import MemoryRun

SPACE: dict[str, Any] = {
    "name": "small",
    "base": {
        "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
        "training": {"epochs": 4, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
    },
    "parameters": {"model.dropout": {"type": "float", "low": 0.0, "high": 0.5}},
}


class Killed:
    """A worker that is killed in the middle of the trial that it was handed."""

    slot = 0

    def __init__(self, *, spoke: bool = True) -> None:
        self.job: Job | None = None
        self.connection, self._end = Pipe()
        self._spoke = spoke

    @property
    def idle(self) -> bool:
        return self.job is None

    def submit(self, job: Job) -> None:
        self.job = job

    def answer(self, verdict: Verdict) -> None:
        raise AssertionError(verdict)

    def receive(self) -> None:
        raise AssertionError

    def kill(self) -> WorkerDied | None:
        assert self.job is not None
        assert self.job.before is not None
        return WorkerDied(self.job, self.job.before.run_id if self._spoke else "", "killed")

    def leave(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.connection.close()


@dataclass(frozen=True)
class Paused:
    """A study with one trial, which waits after two epochs."""

    config: StudyConfig
    study: optuna.Study
    around: Surroundings
    ledger: Ledger
    trial: optuna.Trial
    run: MemoryRun

    @property
    def leg(self) -> int:
        """What the record says."""
        return self.ledger.before(self.trial).leg

    def recovered(self) -> Coordinator:
        """Return the coordinator of a session that takes up the study."""
        coordinator = Coordinator(self.config, self.study, self.around, notify=lambda _: None)
        coordinator.recover()
        return coordinator


@pytest.fixture
def paused(tmp_path: Path) -> Iterator[Paused]:
    storage = open_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    config = StudyConfig.model_validate({"name": "legs", "space": SPACE, "trials": 1})
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    tracker = MemoryTracker()
    run = tracker.start_run("trial 0", parent_id="study", params={}, tags={}, texts={})
    around = Surroundings(tracker, "study", {}, tmp_path / "pictures", tmp_path, Ground((), ()))
    ledger, trial = Ledger(config, study, around), study.ask()
    config.space.suggest(trial)
    ledger.own([trial], "first")
    ledger.started([(trial, run.id)])
    ledger.reached([(trial, step, 0.9) for step in range(2)])
    ledger.pause([(trial, TrialEnded(0, "paused", run.id, 3.0))])
    yield Paused(config, study, around, ledger, trial, run)
    close_storage(storage)


def test_each_time_a_trial_is_gone_on_with_the_record_and_its_job_have_the_next_number(paused: Paused) -> None:
    assert paused.leg == 0
    for leg in (1, 2):
        coordinator, worker = paused.recovered(), Killed()
        coordinator._hand_out([worker])
        assert worker.job is not None
        assert (worker.job.leg, paused.leg) == (leg, leg)
        paused.ledger.pause([(paused.trial, TrialEnded(0, "paused", paused.run.id, 3.0))])


def test_who_takes_up_a_trial_of_a_session_that_died_has_a_higher_number_than_it_had(paused: Paused) -> None:
    paused.ledger.own(paused.study.trials, "dead")
    assert paused.leg == 1
    paused.recovered()
    assert (paused.run.outcome, paused.run.leg, paused.leg) == ("paused", 2, 2)


def test_who_ends_a_trial_in_place_of_its_session_has_a_higher_number_than_it_had(paused: Paused) -> None:
    paused.ledger.own(paused.study.trials, "dead")
    (trial,) = paused.study.trials
    paused.ledger.run_again(trial)
    assert (paused.run.outcome, paused.run.leg) == ("interrupted", 2)


def test_who_ends_a_trial_that_waits_has_a_higher_number_than_it_had(paused: Paused) -> None:
    paused.ledger.own(paused.study.trials, "")
    (trial,) = paused.study.trials
    paused.ledger.end_waiting(trial, 4, "others were better there")
    assert (paused.run.outcome, paused.run.leg) == ("pruned", 2)


@pytest.mark.parametrize("spoke", [True, False], ids=["in the middle", "before it said that it goes on"])
def test_the_run_of_a_worker_that_is_killed_is_ended_with_a_higher_number_than_it_had(
    paused: Paused, *, spoke: bool
) -> None:
    coordinator, worker = paused.recovered(), Killed(spoke=spoke)
    coordinator._hand_out([worker])
    coordinator._kill([worker])
    assert (paused.run.outcome, paused.run.leg) == ("interrupted", 2)


def test_a_trial_that_cannot_be_gone_on_with_fails_in_the_run_that_it_has(
    paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CheckpointError("no file weights.safetensors")

    coordinator, worker = paused.recovered(), Killed()
    monkeypatch.setattr(coordinator._asker, "job", refuse)
    coordinator._hand_out([worker])
    (trial,), tracker = paused.study.trials, paused.around.tracker
    assert isinstance(tracker, MemoryTracker)
    (run,) = tracker.runs.values()
    assert (trial.state, trial.user_attrs["seconds"]) == (TrialState.FAIL, 3.0)
    assert (run.outcome, run.reason) == ("failed", "no file weights.safetensors")


def test_what_a_trial_would_go_on_with_is_there_until_its_end_is_kept(
    paused: Paused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "trial0"
    folder.mkdir()
    there: list[bool] = []
    monkeypatch.setattr(paused.study, "tell", lambda *_, **__: there.append(folder.is_dir()))
    paused.ledger.end([(paused.trial, TrialEnded(0, "complete", paused.run.id, 3.0, (0.5,), unneeded=folder))])
    assert there == [True]
    assert not folder.exists()


def test_the_number_is_kept_by_the_statement_that_keeps_the_session(
    paused: Paused, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[list[tuple[str, object]]] = []

    def keep(_: optuna.storages.BaseStorage, given: Sequence[tuple[int, str, object]]) -> None:
        kept.append([(key, value) for _, key, value in given])

    monkeypatch.setattr("hms_search.search.ledger.set_system_attrs", keep)
    new, session = paused.study.ask(), ("hms_search:session", "mine")
    paused.ledger.own([new], "mine")
    paused.ledger.own([paused.study.trials[0], new], "mine")
    assert kept == [[session], [session, session, ("hms_search:leg", 1)]]
