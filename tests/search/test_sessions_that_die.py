"""A session that dies at any statement of its storage: the next one goes on as if nothing had been."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from pretended import Pretended

from hms_search.search.contract import contract_of, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.ledger import Surroundings
from hms_search.search.outcomes import SAME_KEY, is_baseline, origin_of
from hms_search.search.racing import Ground
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import Job, TrialEnded, TrialStarted
from hms_search.tracking import MemoryTracker

SPACE: dict[str, Any] = {
    "name": "coarse",
    "base": {
        "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
        "training": {"epochs": 2, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
    },
    "parameters": {"model.dropout": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.25}},
}
BASELINE = {"model.dropout": 0.0}


class Died(BaseException):
    """The process is gone."""


class Prompt(Pretended):
    """A worker whose trials are over as soon as they begin, each with a run."""

    def submit(self, job: Job) -> None:
        self.job = job
        run = self.tracker.start_run(str(job.number), parent_id="study", params=job.params, tags=job.tags, texts={})
        self._end.send(TrialStarted(job.number, run.id))
        run.finish("complete", metrics={}, files={})
        value = float(str(job.params["model.dropout"]))
        self._end.send(TrialEnded(job.number, "complete", run.id, 1.0, (value,), metrics={"kl_all": value}))


@contextmanager
def opened(file: Path, config: StudyConfig) -> Iterator[optuna.Study]:
    storage = open_storage(f"sqlite:///{file}")
    yield open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    close_storage(storage)


def a_session(config: StudyConfig, study: optuna.Study, tracker: MemoryTracker, folder: Path) -> None:
    around = Surroundings(tracker, "study", {}, folder / "pictures", folder / "trials", Ground((), ()))
    coordinator, worker = Coordinator(config, study, around, notify=lambda _: None), Prompt(0, tracker)
    try:
        coordinator.recover()
        coordinator.run([worker])
    finally:
        worker.close()


@contextmanager
def dying(study: optuna.Study, at: int) -> Iterator[None]:
    """Let this process die before its ``at``-th transaction is committed."""
    storage = study._storage
    engine = (storage if isinstance(storage, RDBStorage) else storage._backend).engine  # type: ignore[attr-defined]
    left = iter(range(at, -1, -1))

    def count(_: sqlalchemy.Connection) -> None:
        if next(left, 0) == 0:
            raise Died

    sqlalchemy.event.listen(engine, "commit", count)
    yield
    sqlalchemy.event.remove(engine, "commit", count)


@pytest.mark.parametrize("sampler", [{"name": "random"}, {"name": "grid", "points": 3}], ids=["random", "grid"])
def test_it_goes_on_with_the_same_baseline_no_point_lost_every_run_as_it_ended_and_the_same_seeds(
    tmp_path: Path, sampler: dict[str, Any]
) -> None:
    settings = {"name": "coarse", "space": SPACE, "trials": 5, "sampler": sampler, "pruner": {"name": "none"}}
    config = StudyConfig.model_validate(settings)
    new = tmp_path / "new.db"
    with opened(new, config):
        pass
    died, at = True, 0
    trained: list[set[tuple[str, str]]] = []
    while died:
        at += 1
        file, tracker = tmp_path / "one.db", MemoryTracker()
        shutil.copy(new, file)
        with opened(file, config) as study:
            try:
                with dying(study, at):
                    a_session(config, study, tracker, tmp_path)
                died = False
            except Died:
                study._storage.remove_session()
        with opened(file, config) as study:
            a_session(config, study, tracker, tmp_path)
            trials = study.trials
        (base,) = [one for one in trials if is_baseline(one) and one.state == TrialState.COMPLETE]
        assert base.params == BASELINE, f"died before its commit {at}"
        assert not [one for one in trials if not one.state.is_finished()], f"died before its commit {at}"
        complete = [one for one in trials if one.state == TrialState.COMPLETE]
        retried = {one.number: one.params for one in trials if origin_of(one) != one.number}
        assert all(trials[origin_of(trials[number])].params in ({}, params) for number, params in retried.items())
        assert len(complete) == (4 if sampler["name"] == "grid" else 5), f"died before its commit {at}"
        for one in complete:
            assert tracker.runs[one.user_attrs["mlflow_run_id"]].outcome == "complete", f"died before its commit {at}"
        runs = [tracker.runs[one.user_attrs["mlflow_run_id"]] for one in complete]
        trained.append({(run.tags["seed"], run.params["model.dropout"]) for run in runs})
    other = [at for at, seeds in enumerate(trained, 1) if seeds != trained[-1]]
    assert not other, f"other trials, or under other seeds, having died before the commits {other}"
    assert at > 20, "there were statements to die at"
    assert any(SAME_KEY in one.user_attrs for one in trials) or sampler["name"] == "grid"
