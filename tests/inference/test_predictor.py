"""The Predictor on tiny networks: the numbers of validation, whatever the batch."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import PRIOR, write_model
from synthetic_store import synthetic_store

from hms_search.data.folds import FoldPlan, GroupedFolds, plan_folds
from hms_search.data.sampling import SpectrogramSampling
from hms_search.data.store import Store
from hms_search.eeg.mirror import mirrored
from hms_search.errors import CheckpointError, ConfigError, DataError
from hms_search.experiment import ExperimentConfig, run_experiment, weights_file
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor


def recordings(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    made = [rng.normal(rng.uniform(-3, 3), 2, (length, 400)).astype(np.float16) for length in lengths]
    for row in made:
        row[:, :100] += np.float16(2)  # one side of the head
    made[0][:5] = -np.inf
    made[-1][:, 7] = np.nan
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "small", normalise={"name": "datawide"})


@pytest.fixture(scope="module")
def predictor(model: Path) -> Predictor:
    return Predictor.open(model, device="cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(tmp_path_factory.mktemp("store"), n_patients=6, seed=0, sampling=SpectrogramSampling())


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=2), store)


@pytest.mark.parametrize("normalise", ["instance", "datawide", "robust"])
def test_a_folds_network_predicts_its_validation_rows_as_the_experiment_reported_them(
    store: Store, plan: FoldPlan, tmp_path: Path, normalise: str
) -> None:
    config = ExperimentConfig.model_validate(
        {
            "pipeline": {
                "source": "spectrogram",
                "resize": [32, 48],
                "normalise": {"name": normalise},
                "gap_fill": "mean",
            },
            "model": {"name": "timm", "backbone": "test_resnet", "dropout": 0.3},
            "training": {"epochs": 1, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 3e-3}},
        }
    )
    result = run_experiment(config, store, replace(plan, use=(1,)), device="cpu", out_dir=tmp_path / "experiment")
    (tmp_path / "model").mkdir()
    shutil.copy(weights_file(tmp_path / "experiment", 1), tmp_path / "model" / "network.safetensors")
    file = NetworkFile(
        file="network.safetensors", model=config.model, pipeline=result.pipelines[0], fold=1, seed=result.seed
    )
    card = ModelCard(name="one", kind="model", prior=PRIOR, scores={}, origin={}, networks=(file,))
    write_card(tmp_path / "model", card)
    rows = [store.spectrogram(row) for row in result.rows]
    assert len({len(row) for row in rows}) > 1, "the test needs recordings of several lengths"
    prediction = Predictor.open(tmp_path / "model", device="cpu").predict(rows)
    np.testing.assert_allclose(prediction.probabilities, result.probabilities, rtol=0, atol=1e-6)


def test_a_models_probabilities_are_the_mean_of_its_networks_and_add_up(predictor: Predictor) -> None:
    prediction = predictor.predict(recordings(300, 300, 420))
    assert prediction.members.shape == (2, 3, 6)
    assert prediction.probabilities.dtype == np.float64
    np.testing.assert_allclose(prediction.probabilities, prediction.members.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(prediction.members.sum(axis=2), 1, rtol=0, atol=1e-12)
    assert np.abs(prediction.members[0] - prediction.members[1]).max() > 1e-3, "two networks that say the same"


def test_neither_batches_nor_order_nor_other_lengths_change_a_prediction(predictor: Predictor) -> None:
    rows = recordings(300, 420, 300, 300, 690, 420)
    together = predictor.predict(rows).probabilities
    alone = np.concatenate([predictor.predict([row]).probabilities for row in rows])
    backwards = predictor.predict(rows[::-1]).probabilities[::-1]
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)
    np.testing.assert_allclose(backwards, together, rtol=0, atol=1e-6)
    assert np.ptp(together, axis=0).max() > 1e-3, "recordings that all come out the same"


def test_left_right_is_the_mean_with_the_mirrored_recording(predictor: Predictor) -> None:
    rows = recordings(300, 420)
    mirror = [mirrored(torch.from_numpy(row)[None])[0].numpy() for row in rows]
    plain, other = predictor.predict(rows), predictor.predict(mirror)
    both = predictor.predict(rows, tta="left_right")
    assert np.abs(plain.probabilities - other.probabilities).max() > 1e-3
    np.testing.assert_allclose(both.members, (plain.members + other.members) / 2, rtol=0, atol=1e-6)
    again = predictor.predict(mirror, tta="left_right").probabilities
    np.testing.assert_allclose(both.probabilities, again, rtol=0, atol=1e-6)


def test_predicting_leaves_no_trace(predictor: Predictor) -> None:
    rows = recordings(300, 300)
    before = [row.copy() for row in rows]
    state = torch.random.get_rng_state()
    first = predictor.predict(rows).probabilities
    np.testing.assert_array_equal(first, predictor.predict(rows).probabilities)
    assert torch.equal(state, torch.random.get_rng_state())
    for row, copy in zip(rows, before, strict=True):
        np.testing.assert_array_equal(row, copy)


def test_full_precision_recordings_are_rounded_as_the_store_rounds_them(predictor: Predictor) -> None:
    row = np.random.default_rng(0).normal(0, 2, (300, 400)).astype(np.float32)
    rounded = predictor.predict([row.astype(np.float16)]).probabilities
    np.testing.assert_array_equal(predictor.predict([row]).probabilities, rounded)


def test_no_recordings_are_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]).probabilities.shape == (0, 6)


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf, 0.0])
def test_a_flat_or_empty_recording_still_gets_probabilities(predictor: Predictor, value: float) -> None:
    (row,) = predictor.predict([np.full((300, 400), value, dtype=np.float16)]).probabilities
    assert np.isfinite(row).all()


@pytest.mark.parametrize("shape", [(300, 399), (0, 400), (400,), (1, 300, 400)])
def test_what_is_no_recording_is_refused_with_its_shape(predictor: Predictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected log power \[time, 400\], found the shape"):
        predictor.predict([np.zeros(shape, dtype=np.float16)])


def test_a_model_without_a_resize_takes_ten_minutes_only(tmp_path: Path) -> None:
    predictor = Predictor.open(write_model(tmp_path / "model", resize=None), device="cpu")
    assert predictor.predict(recordings(300)).probabilities.shape == (1, 6)
    with pytest.raises(DataError, match=r"expected 300 rows of time, found 690: model small was trained without"):
        predictor.predict(recordings(300, 690))


def test_an_unknown_augmentation_and_a_device_that_is_not_there_are_named(model: Path, predictor: Predictor) -> None:
    with pytest.raises(ConfigError, match="none, left_right, flips, found 'up_down'"):
        predictor.predict(recordings(300), tta="up_down")  # type: ignore[arg-type]
    for device in ("gpu", "cuda:63"):
        with pytest.raises(ConfigError, match=device):
            Predictor.open(model, device=device)


def test_a_model_with_a_changed_byte_is_refused(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    weights = tmp_path / "copy" / "networks" / "seed0-fold1.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"seed0-fold1\.safetensors was changed"):
        Predictor.open(tmp_path / "copy")
