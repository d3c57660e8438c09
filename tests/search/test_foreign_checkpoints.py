"""Checkpoints of another study's trial of the same number: left alone, and in nobody's way."""

import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from synthetic_store import synthetic_store

from hms_search.data.folds import FoldPlan, GroupedFolds, plan_folds
from hms_search.data.store import Store
from hms_search.search.aims import Wanted
from hms_search.search.asking import Asker
from hms_search.search.contract import contract_of, open_study
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.outcomes import PAUSED_KEY
from hms_search.search.racing import Ground
from hms_search.search.retention import experiments_of, trial_folders
from hms_search.search.study import StudyConfig
from hms_search.search.trial import (
    EpochEnded,
    Job,
    TrialContext,
    TrialEnded,
    Verdict,
    run_trial,
)
from hms_search.tracking import MemoryTracker
from hms_search.tracking.memory import NullTracker

SPACE = {
    "name": "small",
    "base": {
        "pipeline": {"source": "spectrogram", "resize": [32, 32]},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none"},
        "training": {"epochs": 2, "batch_size": 8},
    },
    "parameters": {"model.dropout": {"type": "float", "low": 0.0, "high": 0.5}},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(tmp_path_factory.mktemp("foreign"), n_patients=6, seed=1)


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=2), store)


@pytest.fixture
def context(store: Store, plan: FoldPlan, tmp_path: Path) -> TrialContext:
    return TrialContext(
        store=store,
        plan=plan,
        level="patient",
        other=None,
        tracker=MemoryTracker(),
        parent_id="study",
        study="small",
        objective="all",
        device="cpu",
        work=tmp_path / "trials" / "small",
        wanted=Wanted((), (), "all"),
    )


def study_of(seed: int, context: TrialContext) -> optuna.Study:
    """A study of that seed in a storage of its own."""
    config = config_of(seed)
    contract = contract_of(config, data=context.store.fingerprint, folds=context.plan.fingerprint)
    study = open_study(config, contract, optuna.storages.InMemoryStorage())
    study.enqueue_trial(config.space.baseline(), user_attrs={"baseline": True})
    return study


def config_of(seed: int) -> StudyConfig:
    return StudyConfig.model_validate({"name": "small", "space": SPACE, "seed": seed})


def job_of(seed: int, study: optuna.Study) -> Job:
    return Asker(config_of(seed), study, tags={}, notify=lambda _: None).job(study.ask(), place=0)


def run(job: Job, context: TrialContext, *, epochs: int = 4) -> tuple[TrialEnded, list[EpochEnded]]:
    """Run a trial until so many of its four epochs are done, and keep its end; return that, and its epochs."""
    seen: list[EpochEnded] = []

    def judge(ended: EpochEnded) -> Verdict:
        seen.append(ended)
        return "interrupt" if len(seen) == epochs < 4 else "continue"

    ended = run_trial(job, context, on_start=lambda _: None, on_epoch=judge)
    if ended.unneeded is not None:
        shutil.rmtree(ended.unneeded)
    return ended, seen


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def as_before(context: TrialContext) -> Path:
    """Leave a trial's checkpoints where the version before looks for them; return their folder."""
    (folds,) = context.work.glob("trial0-*/folds-*")
    former = context.work / "trial0" / f"folds-{context.plan.fingerprint}"
    former.parent.mkdir()
    folds.rename(former)
    folds.parent.rmdir()
    return former


def test_two_studies_of_one_name_go_on_each_with_its_own_checkpoint(context: TrialContext) -> None:
    jobs = [job_of(seed, study_of(seed, context)) for seed in (0, 7)]
    first, before = run(jobs[0], context, epochs=3)
    assert first.outcome == "interrupted"
    kept = contents(context.work)
    assert kept
    other, _ = run(jobs[1], context)
    assert (other.outcome, other.reason) == ("complete", "")
    assert contents(context.work) == kept
    again, seen = run(jobs[0], context)
    assert again.outcome == "complete"
    assert [one.epoch for one in seen[:3]] == [one.epoch for one in before]  # read, not trained: they took as long
    assert not contents(context.work)


def test_what_the_version_before_left_is_gone_on_with(context: TrialContext) -> None:
    job = job_of(0, study_of(0, context))
    _, before = run(job, context, epochs=3)
    former = as_before(context)
    again, seen = run(job, context)
    assert again.outcome == "complete"
    assert [one.epoch for one in seen[:3]] == [one.epoch for one in before]
    assert not former.parent.exists()


def test_what_the_version_before_left_of_another_study_stays(context: TrialContext) -> None:
    run(job_of(0, study_of(0, context)), context, epochs=3)
    as_before(context)
    kept = contents(context.work)
    other, _ = run(job_of(7, study_of(7, context)), context)
    assert other.outcome == "complete"
    assert contents(context.work) == kept


def test_a_damaged_checkpoint_is_there_to_be_looked_at_when_its_trial_has_failed(context: TrialContext) -> None:
    job = job_of(0, study_of(0, context))
    run(job, context, epochs=3)
    (file,) = context.work.rglob("progress.pt")
    file.write_bytes(b"half")
    ended, _ = run(job, context)
    assert ended.outcome == "failed"
    assert f"{file} is damaged" in ended.reason
    assert file.read_bytes() == b"half"


def test_gc_takes_the_folders_of_its_own_trials_only(context: TrialContext) -> None:
    studies = {seed: study_of(seed, context) for seed in (0, 7)}
    for seed, study in studies.items():
        run(job_of(seed, study), context, epochs=3)
    mine = studies[7]
    mine._storage.set_trial_user_attr(mine.trials[0]._trial_id, "outcome", "complete")
    mine.tell(0, 0.5)
    held = {one.path.name: one for one in trial_folders(mine.trials, context.work, experiments_of(mine))}
    own = f"trial0-{experiments_of(mine)(mine.trials[0])}"
    theirs = f"trial0-{experiments_of(studies[0])(studies[0].trials[0])}"
    assert mine.trials[0].state == TrialState.COMPLETE
    assert {name: one.may_go for name, one in held.items()} == {own: True, theirs: False}
    assert "another --storage" in held[theirs].reason


def test_the_end_of_a_study_removes_what_its_waiting_trials_kept_and_not_another_studys(context: TrialContext) -> None:
    studies = {seed: study_of(seed, context) for seed in (0, 7)}
    for seed, study in studies.items():
        run(job_of(seed, study), context, epochs=3)
    mine = studies[7]
    for key, value in {"mlflow_run_id": "run", PAUSED_KEY: 3.0}.items():
        mine._storage.set_trial_user_attr(mine.trials[0]._trial_id, key, value)
    around = Surroundings(NullTracker(), "study", {}, context.work, context.work, Ground((), ()))
    Ledger(config_of(7), mine, around).end_waiting(mine.trials[0], 8, "others were better there")
    (theirs,) = context.work.iterdir()
    assert theirs.name == f"trial0-{experiments_of(studies[0])(studies[0].trials[0])}"
