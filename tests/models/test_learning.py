"""Every model learns: it fits 24 windows, and of patients it has not seen it says more than the class prior does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from hms_search.data.batches import Batches, InOrder
from hms_search.data.fitting import fit_pipeline
from hms_search.data.folds import GroupedFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.pipelines import Inputs, Pipeline
from hms_search.experiment import ExperimentConfig
from hms_search.models import Model
from hms_search.training.losses import divergence, kl_divergence

pytestmark = pytest.mark.slow

N_PATIENTS = 64
BATCH = 8
CPU = torch.device("cpu")

EEG = {"source": "eeg", "clip_uv": 1024, "scale_uv": 32, "normalise": {"name": "instance"}}
MEL = {**EEG, "filters": [{"name": "band_pass", "low_hz": 0.5, "high_hz": 20.0}], "resize": [48, 48]}
SIGNALS = {
    **EEG,
    "filters": [{"name": "band_pass", "low_hz": 0.5, "high_hz": 8.0}],
    "representation": {"name": "waveform", "length": 3000, "every": 10},
}
EIGHT_SIGNALS = {**SIGNALS, "montage": {"name": "wavenet8"}}
SIXTEEN_SIGNALS = {**SIGNALS, "montage": {"name": "double_banana_16"}}
MICROVOLTS = {
    **EIGHT_SIGNALS,
    "representation": {"name": "waveform", "length": 2000, "every": 10},
    "scale_uv": 1,
    "normalise": {"name": "none"},
}
FFT_IMAGE = {
    **EEG,
    "montage": {"name": "tuh20"},
    "representation": {"name": "fft_image"},
    "layout": {"name": "channels"},
}
SLICES = {
    "source": "spectrogram",
    "planes": {"name": "differences"},
    "layout": {"name": "channels"},
    "resize": [32, 32],
}

IMAGE = {"name": "timm", "backbone": "test_resnet"}
WAVENET = {
    "name": "wavenet",
    "blocks": {"name": "improved", "count": 2, "channels": 4, "layers": 2},
    "group": 4,
    "image": IMAGE,
}
STARTER = {"name": "wavenet", "blocks": {"name": "starter", "filters": [4, 8], "depths": [3, 2]}, "image": None}
STFT = {"name": "stft_image", "stft": {"n_fft": 64, "win_length": 32, "hop_length": 16}, "image": IMAGE}
ATTENTION = {"name": "attention_spectrogram", "image": IMAGE, "hidden": 32, "attention_dropout": 0.0}


@dataclass(frozen=True)
class Case:
    """A small model with all parts of its structure, a pipeline it is made for, and how it is trained here.

    The first numbers are of training on 173 windows of 43 patients, which a network soon knows by heart: targets
    are smoothed. The ``fit`` ones are of fitting 24 windows.
    """

    model: Mapping[str, Any]
    pipeline: Mapping[str, Any]
    lr: float = 3e-3
    epochs: int = 6
    smoothing: float = 0.2
    fit_lr: float = 4e-3
    fit_steps: int = 50

    @property
    def config(self) -> ExperimentConfig:
        return ExperimentConfig.model_validate({"pipeline": self.pipeline, "model": self.model})

    def built(self) -> nn.Module:
        torch.manual_seed(0)
        return self.config.model.build(self.config.pipeline.shape).to(memory_format=torch.channels_last)


CASES = {
    "timm": Case(IMAGE, MEL),
    "wavenet": Case(WAVENET, EIGHT_SIGNALS),
    "wavenet starter": Case(STARTER, MICROVOLTS, lr=5e-3, epochs=8, fit_lr=1e-2, fit_steps=180),
    "stft_image": Case(STFT, EIGHT_SIGNALS),
    "attention_spectrogram": Case(ATTENTION, SLICES, lr=6e-3, fit_steps=40),
    "multimodal": Case(
        {"name": "multimodal", "wavenet": WAVENET, "stft_image": STFT, "attention_spectrogram": ATTENTION},
        {"source": "both", "eeg": EIGHT_SIGNALS, "spectrogram": SLICES},
        lr=6e-3,
        epochs=3,
        fit_steps=30,
    ),
    "eeg_cnn": Case({"name": "eeg_cnn", "channels": [16, 32, 64, 128]}, FFT_IMAGE),
    "efficientnet1d": Case(
        {"name": "efficientnet1d", "width": 0.25, "depth": 0.25, "across": 1, "dropout": 0.3},
        SIXTEEN_SIGNALS,
        lr=6e-3,
        epochs=8,
    ),
    "eeg_gru": Case(
        {"name": "eeg_gru", "channels": [16, 32], "stride": 2}, SIXTEEN_SIGNALS, lr=2e-3, epochs=4, smoothing=0.3
    ),
    "eegnet": Case(
        {"name": "braindecode", "network": "eegnet", "kernel": 32, "dropout": 0.0},
        SIXTEEN_SIGNALS,
        lr=1e-2,
        epochs=10,
        fit_lr=1e-2,
        fit_steps=100,
    ),
    "shallow_fbcsp": Case(
        {"name": "braindecode", "network": "shallow_fbcsp", "dropout": 0.0},
        EIGHT_SIGNALS,
        lr=2e-4,
        epochs=12,
        smoothing=0.4,
        fit_lr=1e-2,
        fit_steps=100,
    ),
}

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


@dataclass(frozen=True)
class Rows:
    """Rows of a Store as a network sees them, and their targets."""

    x: Inputs
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def at(self, rows: Tensor) -> "Rows":
        chosen = self.x[rows] if isinstance(self.x, Tensor) else {kind: part[rows] for kind, part in self.x.items()}
        return Rows(chosen, self.target[rows])


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], tuple[Rows, Rows]]:
    """Training and validation rows of a case's pipeline, of different patients; one Store for all."""
    folder = tmp_path_factory.mktemp("learning")
    write_synthetic(folder / "data", n_patients=N_PATIENTS, seed=0, workers=2)
    prepare(folder / "data", folder / "store", workers=2)
    kept: dict[Pipeline, tuple[Rows, Rows]] = {}

    def of(case: Case) -> tuple[Rows, Rows]:
        pipeline = case.config.pipeline
        if pipeline not in kept:
            kept[pipeline] = split(pipeline, folder / "store")
        return kept[pipeline]

    return of


def split(pipeline: Pipeline, folder: Path) -> tuple[Rows, Rows]:
    store = Store.open(folder, EegMiddleSampling(), kinds=pipeline.kinds)
    parts = plan_folds(GroupedFolds(n_folds=3, use=(0,)), store).split(0)
    fitted = fit_pipeline(pipeline, store, parts[0], device=CPU)
    seen = []
    for rows in parts:
        batches = Batches(store, InOrder(rows, store.targets), fitted, batch_size=len(rows), device=CPU)
        (batch,) = batches
        batches.close()
        seen.append(Rows(batch.x, batch.target))
    return seen[0], seen[1]


def train(network: nn.Module, rows: Rows, *, lr: float, steps: int, batch: int) -> None:
    """AdamW with a cosine over random batches, each row as often as any other."""
    generator = torch.Generator().manual_seed(0)
    order = torch.empty(0, dtype=torch.int64)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(rows), generator=generator)
        some, order = rows.at(order[:batch]), order[batch:]
        loss = divergence(network(some.x), some.target).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def kl(network: nn.Module, rows: Rows) -> float:
    """The mean KL in evaluation, as the network predicts."""
    with torch.inference_mode():
        return kl_divergence(network.eval()(rows.x), rows.target).mean().item()


def test_every_model_of_the_union_learns_here() -> None:
    assert {type(case.config.model) for case in CASES.values()} == set(get_args(get_args(Model)[0]))


@every_case
def test_a_model_fits_24_windows(case: Case, folds: Callable[[Case], tuple[Rows, Rows]]) -> None:
    """Batch norm's running statistics follow the weights by dozens of steps (in EEGNet by hundreds), so that they are
    taken anew from the windows: the test is of the weights.
    """
    training, _ = folds(case)
    rows = training.at(torch.linspace(0, len(training) - 1, 24).long())
    network = case.built()
    train(network, rows, lr=case.fit_lr, steps=case.fit_steps, batch=len(rows))
    torch.optim.swa_utils.update_bn([rows.x], network)
    assert kl(network, rows) < 0.05


@every_case
def test_a_model_says_more_of_unseen_patients_than_the_class_prior(
    case: Case, folds: Callable[[Case], tuple[Rows, Rows]]
) -> None:
    training, validation = folds(case)
    smoothed = (1 - case.smoothing) * training.target + case.smoothing / training.target.shape[1]
    network = case.built()
    steps = case.epochs * (len(training) // BATCH)
    train(network, Rows(training.x, smoothed), lr=case.lr, steps=steps, batch=BATCH)
    prior = training.target.mean(dim=0).log().expand(len(validation), -1)
    assert kl(network, validation) < kl_divergence(prior, validation.target).mean().item()
