"""Stages, balance, one window per EEG and soft targets: resumed to the same numbers, and blind to validated rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from members import distributions
from safetensors.torch import load_file

from hms_search.data.folds import FoldPlan, GroupedFolds, plan_folds
from hms_search.data.labels import targets_of
from hms_search.data.oof import out_of_fold, write_oof
from hms_search.data.prepare import prepare
from hms_search.data.sampling import LabelSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.data.teachers import write_teacher
from hms_search.errors import CheckpointError, DataError, TrialStopped
from hms_search.experiment import ExperimentConfig, ExperimentResult, run_experiment, weights_file
from hms_search.training.results import Epoch

STAGES = [{"epochs": 1, "rows": "low", "lr": 1e-4, "scheduler": {"name": "constant"}}, {"weights": {"name": "votes"}}]
TRAININGS: dict[str, dict[str, object]] = {
    "stages with a schedule of their own": {"stages": STAGES, "scheduler": {"name": "one_cycle"}},
    "a plateau over two of three stages": {
        "stages": [{"epochs": 1}, {"epochs": 1, "rows": "low", "lr": 1e-4}, {"epochs": 1}],
        "scheduler": {"name": "plateau", "patience": 0},
    },
    "a pre-training with an optimiser of its own": {
        "stages": [STAGES[0], {"fresh_optimiser": True}],
        "ema": {"decay": 0.9},
    },
    "balanced and fading weights": {"sampler": "balanced", "weights": {"name": "ranges"}, "select": "best"},
    "noisy student": {"noisy_student": {"oof": "TEACHERS", "probability": 0.5}, "label_smoothing": 0.1},
    "all of it": {
        "stages": STAGES,
        "sampler": "balanced",
        "noisy_student": {"oof": "TEACHERS", "probability": 0.5},
        "pseudo_labels": {"oof": "TEACHERS"},
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("curricula")
    write_synthetic(folder / "data", n_patients=6, seed=1, workers=1)
    prepare(folder / "data", folder / "store", workers=1)
    return Store.open(folder / "store", LabelSampling(one_per_eeg=True))


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=2), store)


def write_teachers(folder: Path, store: Store, plan: FoldPlan, *, seed: int = 0) -> Path:
    """Random teachers that held out each fold's patients."""
    said = distributions(len(store), seed=seed)
    for fold in plan.use:
        rows = np.flatnonzero(plan.assignment != fold)
        oof = out_of_fold("teacher", store.samples.iloc[rows], plan.assignment[rows], store.targets[rows], said[rows])
        write_teacher(folder, fold, oof, np.unique(store.patients[plan.assignment == fold]).tolist())
    return folder


@pytest.fixture
def teachers(tmp_path: Path, store: Store, plan: FoldPlan) -> Path:
    return write_teachers(tmp_path / "teachers", store, plan)


def config(training: dict[str, object], teachers: Path) -> ExperimentConfig:
    soft = {
        name: {**part, "oof": str(teachers)}
        for name in ("noisy_student", "pseudo_labels")
        if isinstance(part := training.get(name), dict)
    }
    return ExperimentConfig.model_validate(
        {
            "pipeline": {"source": "spectrogram", "resize": [32, 32], "normalise": {"name": "datawide"}},
            "model": {"name": "timm", "backbone": "test_resnet", "dropout": 0.3},
            "training": {"epochs": 3, "batch_size": 8, **training, **soft},
        }
    )


class StopAt:
    """Interrupts at the epoch with a number, counted from 0."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _: Epoch) -> None:
        if self.left == 0:
            raise TrialStopped("interrupted")
        self.left -= 1


def epochs_of(result: ExperimentResult) -> list[Epoch]:
    return [replace(epoch, seconds=0) for fold in result.folds for epoch in fold.epochs]


def unexpected(_: Epoch) -> None:
    raise AssertionError("trained although it should have been refused before")


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_an_experiment_stopped_in_every_stage_ends_with_the_same_numbers(
    store: Store, plan: FoldPlan, teachers: Path, tmp_path: Path, training: dict[str, object]
) -> None:
    chosen, stopped = config(training, teachers), tmp_path / "stopped"
    undisturbed = run_experiment(chosen, store, plan, seed=3, out_dir=tmp_path / "undisturbed")
    for number in range(6):
        with pytest.raises(TrialStopped):
            run_experiment(chosen, store, plan, seed=3, out_dir=stopped, on_epoch=StopAt(number))
    seen: list[Epoch] = []
    resumed = run_experiment(chosen, store, plan, seed=3, out_dir=stopped, on_epoch=seen.append)
    assert epochs_of(resumed) == epochs_of(undisturbed)
    assert [epoch.step for epoch in seen] == list(range(6))
    np.testing.assert_array_equal(resumed.probabilities, undisturbed.probabilities)
    for fold in plan.use:
        expected, found = (load_file(weights_file(tmp_path / name, fold)) for name in ("undisturbed", "stopped"))
        assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_the_labels_of_validated_patients_do_not_reach_the_network(
    store: Store, plan: FoldPlan, teachers: Path, tmp_path: Path, training: dict[str, object]
) -> None:
    chosen, first = config({**training, "select": "last"}, teachers), replace(plan, use=(0,))
    held_out = plan.assignment == 0
    votes = store.votes.copy()
    votes[held_out] = np.roll(votes[held_out], 1, axis=1) * 2
    assert (votes != store.votes).any()
    relabelled = replace(store, votes=votes, targets=targets_of(votes), high=store.high ^ held_out)
    one, other = (
        run_experiment(chosen, data, first, seed=3, objective="all", out_dir=tmp_path / name)
        for name, data in (("as it was", store), ("relabelled", relabelled))
    )
    assert [epoch.train_loss for epoch in epochs_of(one)] == [epoch.train_loss for epoch in epochs_of(other)]
    assert one.value != other.value
    mine, theirs = (load_file(weights_file(tmp_path / name, 0)) for name in ("as it was", "relabelled"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_an_option_changes_what_is_learned(
    store: Store, plan: FoldPlan, teachers: Path, training: dict[str, object]
) -> None:
    first = replace(plan, use=(0,))
    plain = {name: value for name, value in training.items() if name in ("scheduler", "select")}
    with_option = run_experiment(config(training, teachers), store, first)
    without = run_experiment(config(plain, teachers), store, first)
    assert with_option.value != without.value
    np.testing.assert_array_equal(with_option.rows, without.rows)  # validated is the same, whatever is trained


def test_other_predictions_in_the_same_place_do_not_go_on_with_these_checkpoints(
    store: Store, plan: FoldPlan, teachers: Path, tmp_path: Path
) -> None:
    student = config(TRAININGS["noisy student"], teachers)
    with pytest.raises(TrialStopped):
        run_experiment(student, store, plan, out_dir=tmp_path / "out", on_epoch=StopAt(1))
    write_teachers(teachers, store, plan, seed=1)
    with pytest.raises(CheckpointError, match="belongs to another configuration, data"):
        run_experiment(student, store, plan, out_dir=tmp_path / "out")


def test_a_leak_is_refused_before_any_fold_is_trained_and_optimism_is_marked(
    store: Store, plan: FoldPlan, tmp_path: Path
) -> None:
    said = distributions(len(store), seed=0)
    write_oof(out_of_fold("model", store.samples, plan.assignment, store.targets, said), tmp_path / "oof.parquet")
    student = config({"epochs": 1, "noisy_student": {"optimistic": False}}, tmp_path / "oof.parquet")
    with pytest.raises(DataError, match="would leak into fold 0"):
        run_experiment(student, store, plan, on_epoch=unexpected)
    student = config({"epochs": 1, "noisy_student": {"optimistic": True}}, tmp_path / "oof.parquet")
    assert run_experiment(student, store, replace(plan, use=(0,))).optimistic


def test_a_stage_without_rows_in_the_last_fold_is_refused_before_the_first_is_trained(
    store: Store, plan: FoldPlan, teachers: Path
) -> None:
    votes = np.where((plan.assignment == 0)[:, None], store.votes, np.minimum(store.votes, 1))
    most = int(votes[plan.assignment == 1].sum(axis=1).max())
    staged = config({"stages": [{"epochs": 2}, {"min_votes": most + 1}]}, teachers)
    with pytest.raises(DataError, match=r"training\.stages\.1 .* of fold 0"):
        run_experiment(staged, replace(store, votes=votes), replace(plan, use=(1, 0)), on_epoch=unexpected)
