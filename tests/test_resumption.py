"""An interrupted experiment goes on to the very result of an undisturbed one."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from synthetic_store import synthetic_store

from hms_search.data.folds import FoldPlan, GroupedFolds, Order, plan_folds
from hms_search.data.store import Store
from hms_search.errors import CheckpointError, TrialStopped
from hms_search.experiment import ExperimentConfig, ExperimentResult, run_experiment, weights_file
from hms_search.training.checkpoint import Checkpoint
from hms_search.training.results import Epoch

TRAININGS: dict[str, dict[str, object]] = {
    "dropout and one cycle": {"scheduler": {"name": "one_cycle"}},
    "plateau on the validation loss, best epoch": {
        "scheduler": {"name": "plateau", "patience": 0, "monitor": "validation"},
        "select": "best",
    },
    "momentum": {"optimiser": {"name": "sgd", "lr": 0.05, "momentum": 0.9}, "gradient_clip": 1.0},
    "accumulation, groups and a moving average": {
        "accumulate": 2,
        "ema": {"decay": 0.9},
        "lr_groups": [{"prefix": "fc.", "factor": 10}],
        "weight_decay_on": "weights",
    },
    "a moving average, best epoch": {"ema": {"decay": 0.5, "warmup": False}, "select": "best"},
    "mean of the last epochs": {"swa": {"start": 1, "lr": 1e-3}, "scheduler": {"name": "one_cycle"}},
    "mean of the last epochs, best epoch, bfloat16": {"swa": {"start": 1}, "select": "best", "amp": "bfloat16"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(tmp_path_factory.mktemp("resumption"), n_patients=6, seed=1)


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=2), store)


def config(training: dict[str, object]) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "pipeline": {"source": "spectrogram", "resize": [32, 32], "normalise": {"name": "datawide"}},
            "model": {"name": "timm", "backbone": "test_resnet", "dropout": 0.3},
            "training": {"epochs": 3, "batch_size": 8, **training},
        }
    )


def stop_at(number: int) -> Callable[[Epoch], None]:
    counter = itertools.count()

    def judge(_: Epoch) -> None:
        if next(counter) == number:
            raise TrialStopped("interrupted")

    return judge


def assert_same(found: ExperimentResult, expected: ExperimentResult) -> None:
    assert found.value == expected.value
    assert found.metrics == expected.metrics
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    for mine, theirs in zip(found.folds, expected.folds, strict=True):
        assert [replace(epoch, seconds=0) for epoch in mine.epochs] == [
            replace(epoch, seconds=0) for epoch in theirs.epochs
        ]
        assert (mine.selected_epoch, mine.optimistic) == (theirs.selected_epoch, theirs.optimistic)


@pytest.mark.parametrize(
    ("name", "order"),
    [*((name, "sequential") for name in TRAININGS), *((name, "interleaved") for name in list(TRAININGS)[::3])],
)
def test_an_experiment_stopped_after_every_epoch_ends_with_the_same_numbers(
    store: Store, plan: FoldPlan, tmp_path: Path, name: str, order: Order
) -> None:
    training, in_order = TRAININGS[name], replace(plan, order=order)
    undisturbed = run_experiment(config(training), store, plan, seed=3, out_dir=tmp_path / "undisturbed")
    for number in range(6):
        with pytest.raises(TrialStopped):
            run_experiment(
                config(training), store, in_order, seed=3, out_dir=tmp_path / "stopped", on_epoch=stop_at(number)
            )
    seen: list[Epoch] = []
    resumed = run_experiment(
        config(training), store, in_order, seed=3, out_dir=tmp_path / "stopped", on_epoch=seen.append
    )
    assert_same(resumed, undisturbed)
    assert_same(undisturbed, run_experiment(config(training), store, in_order, seed=3))
    assert [epoch.step for epoch in seen] == list(range(6))
    for fold in plan.use:
        expected = load_file(weights_file(tmp_path / "undisturbed", fold))
        found = load_file(weights_file(tmp_path / "stopped", fold))
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_folds_that_take_turns_go_on_from_checkpoints_of_different_epochs(
    store: Store, plan: FoldPlan, tmp_path: Path
) -> None:
    """A process that is killed may leave them so: not every epoch is kept."""
    undisturbed = run_experiment(config({}), store, plan, seed=3)
    for use, number in (((0,), 1), ((1,), 0)):
        alone = replace(plan, use=use)
        with pytest.raises(TrialStopped):
            run_experiment(config({}), store, alone, seed=3, out_dir=tmp_path, on_epoch=stop_at(number))
    seen: list[Epoch] = []
    in_turns = replace(plan, order="interleaved")
    assert_same(
        run_experiment(config({}), store, in_turns, seed=3, out_dir=tmp_path, on_epoch=seen.append), undisturbed
    )
    assert [(epoch.fold, epoch.epoch) for epoch in seen] == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_a_finished_experiment_is_read_and_not_trained_again(store: Store, plan: FoldPlan, tmp_path: Path) -> None:
    first = run_experiment(config({}), store, plan, out_dir=tmp_path)
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    seen: list[Epoch] = []
    again = run_experiment(config({}), store, plan, out_dir=tmp_path, on_epoch=seen.append)
    assert_same(again, first)
    assert len(seen) == 6
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}


def test_another_experiment_does_not_go_on_with_these_checkpoints(store: Store, plan: FoldPlan, tmp_path: Path) -> None:
    run_experiment(config({}), store, plan, out_dir=tmp_path)
    for changed in ({"seed": 1}, {"objective": "high"}):
        with pytest.raises(CheckpointError, match="belongs to another configuration, data, folds or seed"):
            run_experiment(config({}), store, plan, out_dir=tmp_path, **changed)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="belongs to another"):
        run_experiment(config({"epochs": 2}), store, plan, out_dir=tmp_path)


def test_a_damaged_checkpoint_is_named_and_never_executed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "progress.pt", "experiment")
    assert checkpoint.load() is None
    checkpoint.save({"epochs": [1, 2.5], "tensor": torch.arange(3)})
    loaded = checkpoint.load()
    assert loaded is not None
    assert loaded["epochs"] == [1, 2.5]
    assert list(tmp_path.iterdir()) == [checkpoint.path]
    whole = checkpoint.path.read_bytes()
    flipped = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(0, len(whole), 97)]
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", b"cos\nsystem\n(S'exit 1'\ntR.", *flipped):
        checkpoint.path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"progress\.pt is damaged .*; remove it to train the fold again"):
            checkpoint.load()


def test_a_pickle_is_not_executed_though_it_be_sealed_as_a_checkpoint(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.mkdir, (tmp_path / "exploded",)

    checkpoint = Checkpoint(tmp_path / "progress.pt", "experiment")
    checkpoint.save({"planted": Bomb()})  # in the very form that we write
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load()
    assert not (tmp_path / "exploded").exists()
