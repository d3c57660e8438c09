"""Every model learns: it fits 24 windows, and of patients it has not seen it says more than the class prior does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from hms_search.data.batches import Batches, InOrder
from hms_search.data.fitting import fit_pipeline
from hms_search.data.folds import GroupedFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.pipelines import Inputs
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.models import Model
from hms_search.training.losses import divergence, kl_divergence

pytestmark = [pytest.mark.slow, pytest.mark.learning]

N_PATIENTS = 64
CPU = torch.device("cpu")

BAND = {"name": "band_pass", "low_hz": 0.5, "high_hz": 20.0}
EEG = {"source": "eeg", "clip_uv": 1024, "scale_uv": 32, "filters": [BAND]}
INSTANCE = {"name": "instance"}
SIGNALS = {**EEG, "representation": {"name": "waveform", "length": 3000, "every": 5}, "normalise": INSTANCE}
EIGHT_SIGNALS = {**SIGNALS, "montage": {"name": "wavenet8"}}
MICROVOLTS = {**EIGHT_SIGNALS, "scale_uv": 1, "normalise": {"name": "none"}}
SIXTEEN_SIGNALS = {**SIGNALS, "montage": {"name": "double_banana_16"}}
MEL = {**EEG, "normalise": INSTANCE, "resize": [64, 64]}
FFT_IMAGE = {
    **EEG,
    "filters": [],
    "montage": {"name": "tuh20"},
    "representation": {"name": "fft_image"},
    "layout": {"name": "channels"},
    "normalise": INSTANCE,
}
SLICES = {
    "source": "spectrogram",
    "planes": {"name": "differences"},
    "layout": {"name": "channels"},
    "resize": [50, 75],
}

IMAGE = {"name": "timm", "backbone": "test_resnet"}
WAVENET = {
    "name": "wavenet",
    "blocks": {"name": "improved", "count": 2, "channels": 6, "layers": 3},
    "group": 4,
    "image": IMAGE,
}
STARTER = {"name": "wavenet", "blocks": {"name": "starter", "filters": [8, 16], "depths": [5, 3]}, "image": None}
STFT = {"name": "stft_image", "stft": {"n_fft": 64, "win_length": 32, "hop_length": 16}, "image": IMAGE}
ATTENTION = {"name": "attention_spectrogram", "image": IMAGE, "hidden": 32, "attention_dropout": 0.0}


@dataclass(frozen=True)
class Case:
    """A small model with all parts of its structure, a pipeline it is made for, and how it is trained here.

    The first numbers are of training on some 170 windows of 43 patients, which a network soon knows by heart: targets
    are smoothed. The ``fit`` ones are of fitting 24 windows.
    """

    model: dict[str, Any]
    pipeline: dict[str, Any]
    lr: float = 2e-3
    epochs: int = 6
    smoothing: float = 0.2
    fit_lr: float = 4e-3
    fit_steps: int = 60

    @property
    def config(self) -> ExperimentConfig:
        training = {
            "epochs": self.epochs,
            "batch_size": 8,
            "optimiser": {"name": "adamw", "lr": self.lr},
            "label_smoothing": self.smoothing,
        }
        return ExperimentConfig.model_validate({"pipeline": self.pipeline, "model": self.model, "training": training})


CASES = {
    "timm": Case(IMAGE, MEL),
    "wavenet": Case(WAVENET, EIGHT_SIGNALS),
    "wavenet starter": Case(STARTER, MICROVOLTS, lr=5e-3, epochs=8, fit_lr=1e-2, fit_steps=150),
    "stft_image": Case(STFT, EIGHT_SIGNALS),
    "attention_spectrogram": Case(ATTENTION, SLICES),
    "multimodal": Case(
        {"name": "multimodal", "wavenet": WAVENET, "stft_image": STFT, "attention_spectrogram": ATTENTION},
        {"source": "both", "eeg": EIGHT_SIGNALS, "spectrogram": SLICES},
    ),
    "eeg_cnn": Case({"name": "eeg_cnn", "channels": [16, 32, 64, 128]}, FFT_IMAGE),
    "efficientnet1d": Case(
        {"name": "efficientnet1d", "width": 0.25, "depth": 0.25}, SIXTEEN_SIGNALS, lr=1e-3, epochs=10
    ),
    "eeg_gru": Case({"name": "eeg_gru", "stride": 3}, SIXTEEN_SIGNALS),
    "eegnet": Case({"name": "braindecode", "network": "eegnet", "dropout": 0.0}, SIXTEEN_SIGNALS, lr=4e-3),
    "shallow_fbcsp": Case(
        {"name": "braindecode", "network": "shallow_fbcsp", "dropout": 0.0},
        SIXTEEN_SIGNALS,
        lr=5e-4,
        epochs=16,
        smoothing=0.4,
        fit_steps=200,
    ),
}

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learning")
    write_synthetic(folder / "data", n_patients=N_PATIENTS, seed=0, workers=2)
    prepare(folder / "data", folder / "store", workers=2)
    return folder / "store"


def test_every_model_of_the_union_learns_here() -> None:
    assert {type(case.config.model) for case in CASES.values()} == set(get_args(get_args(Model)[0]))


@every_case
def test_a_model_fits_24_windows(case: Case, prepared: Path) -> None:
    """Scored in evaluation, as it predicts.

    Batch norm's running statistics follow the weights by dozens of steps (in EEGNet by hundreds), so that they are
    taken anew from the windows: the test is of the weights.
    """
    config = case.config
    store = opened(prepared, config)
    x, target = all_at_once(config, store, np.linspace(0, len(store) - 1, 24).astype(int))
    torch.manual_seed(0)
    network = config.model.build(config.pipeline.shape).to(memory_format=torch.channels_last)
    steps = torch.optim.AdamW(network.parameters(), lr=case.fit_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, case.fit_steps)
    for _ in range(case.fit_steps):
        loss = divergence(network(x), target).mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
        schedule.step()
    torch.optim.swa_utils.update_bn([x], network)
    with torch.inference_mode():
        assert kl_divergence(network.eval()(x), target).mean() < 0.05


@every_case
def test_a_model_says_more_of_unseen_patients_than_the_class_prior(case: Case, prepared: Path) -> None:
    store = opened(prepared, case.config)
    plan = plan_folds(GroupedFolds(n_folds=3, use=(0,)), store)
    training, validation = (store.targets[rows] for rows in plan.split(0))
    assert run_experiment(case.config, store, plan, device="cpu").value < prior_kl(training, validation)


def opened(prepared: Path, config: ExperimentConfig) -> Store:
    return Store.open(prepared, EegMiddleSampling(), kinds=config.pipeline.kinds)


def all_at_once(config: ExperimentConfig, store: Store, rows: np.ndarray) -> tuple[Inputs, Tensor]:
    """The rows' inputs and targets as one batch."""
    pipeline = fit_pipeline(config.pipeline, store, rows, device=CPU)
    batches = Batches(store, InOrder(rows, store.targets), pipeline, batch_size=len(rows), device=CPU)
    (batch,) = batches
    batches.close()
    return batch.x, batch.target


def prior_kl(training: np.ndarray, validation: np.ndarray) -> float:
    """The mean KL of saying of every validated row what the training rows are like on average."""
    prior = torch.from_numpy(training.mean(axis=0)).log()
    targets = torch.from_numpy(validation)
    return kl_divergence(prior.expand(len(targets), -1), targets).mean().item()
