"""A full factorial of small trainings on synthetic EEG, kept so that searches can be replayed over it.

Of each seed: 200 patients drawn from a pool of 600 synthetic ones, two folds of them, and every combination of learning
rate, dropout and normalisation trained to its end by :func:`hms_search.experiment.run_experiment`, each from its own
initialisation. Kept are the losses of every validation recording after every epoch: all that pruners see.

The network is small (three convolutions over an image of the amplitudes of 20 derivations at 24 frequencies), so that
an epoch takes a twentieth of a second; the pool takes three minutes of one core, the trainings of a seed about one.
"""

import zipfile
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from hms_search.data.atomic import replacing
from hms_search.data.baked import bake, baked_part
from hms_search.data.folds import NOWHERE, FoldPlan, GroupedFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.errors import TrainingError
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.search.asking import trial_seed
from hms_search.search.racing import Ground
from hms_search.search.session import ground_of
from hms_search.training.results import Epoch

N_POOL, N_PATIENTS, N_FOLDS, EPOCHS = 600, 200, 2, 8
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
DROPOUTS = (0.0, 0.5)
NORMALISATIONS = ("none", "datawide", "instance")
SETTINGS = tuple(product(RATES, DROPOUTS, NORMALISATIONS))
BASELINE = SETTINGS.index((1e-3, 0.0, "datawide"))


@dataclass(frozen=True, eq=False)
class Factorial:
    """All trainings of a seed.

    ``losses[fold]`` are ``[setting, epoch, recording]`` and ``values`` ``[setting, fold, epoch]``, NaN from where a
    training diverged on.
    """

    ground: Ground
    losses: tuple[np.ndarray, ...]
    values: np.ndarray

    @property
    def finals(self) -> np.ndarray:
        """The value of every setting: the mean over folds after the last epoch, infinite where it diverged."""
        return np.nan_to_num(self.values[:, :, -1].mean(axis=1), nan=np.inf)

    def save(self, file: Path) -> None:
        """Keep it."""
        arrays = {f"patients{fold}": patients for fold, patients in enumerate(self.ground.patients)}
        arrays |= {f"losses{fold}": losses for fold, losses in enumerate(self.losses)}
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as partial_file, partial_file.open("wb") as content:
            np.savez_compressed(content, values=self.values, **arrays)

    @classmethod
    def load(cls, file: Path) -> "Factorial | None":
        """Return the one that was kept; None where none was, or it is damaged."""
        try:
            with file.open("rb") as opened, np.load(opened) as kept:
                patients = tuple(kept[f"patients{fold}"] for fold in range(N_FOLDS))
                counted = tuple(np.ones(len(of_fold), dtype=bool) for of_fold in patients)
                losses = tuple(kept[f"losses{fold}"] for fold in range(N_FOLDS))
                return cls(Ground(patients, counted), losses, kept["values"])
        except (OSError, zipfile.BadZipFile, KeyError):
            return None


def pool(folder: Path) -> Store:
    """Return the recordings of all patients, made under the folder where they are not there yet."""
    write_synthetic(folder / "recordings", n_patients=N_POOL, seed=0, workers=1)
    prepare(folder / "recordings", folder / "store", workers=1)
    part = baked_part(config_of(BASELINE).pipeline)
    assert part is not None
    opened = partial(Store.open, folder / "store", EegMiddleSampling(), kinds=("eeg",))
    bake(opened(), part, device=torch.device("cpu"))
    return opened(baked=part)


def trained(seed: int, store: Store) -> Factorial:
    """Return the factorial of a seed."""
    plan = _plan(seed, store)
    ground = ground_of(store, plan, "all")
    losses = tuple(np.full((len(SETTINGS), EPOCHS, len(rows)), np.nan, dtype=np.float32) for rows in ground.patients)
    values = np.full((len(SETTINGS), N_FOLDS, EPOCHS), np.nan)
    for number in range(len(SETTINGS)):
        _train(number, seed, store, plan, losses=losses, values=values)
    return Factorial(ground, losses, values)


def config_of(number: int) -> ExperimentConfig:
    """Return the experiment of a setting."""
    rate, dropout, normalisation = SETTINGS[number]
    return ExperimentConfig.model_validate(
        {
            "pipeline": {
                "source": "eeg",
                "clip_uv": 1024,
                "montage": {"name": "tuh20"},
                "representation": {"name": "fft_image"},
                "layout": {"name": "channels"},
                "normalise": {"name": normalisation},
            },
            "model": {"name": "eeg_cnn", "channels": (8, 16, 32), "dropout": dropout},
            "training": {"epochs": EPOCHS, "batch_size": 16, "optimiser": {"name": "adamw", "lr": rate}},
        }
    )


def _plan(seed: int, store: Store) -> FoldPlan:
    """Return two folds of the patients that a seed draws; the others are nowhere."""
    plan = plan_folds(GroupedFolds(n_folds=N_FOLDS, seed=seed), store)
    drawn = np.random.default_rng(seed).permutation(np.unique(store.patients))[:N_PATIENTS]
    return replace(plan, assignment=np.where(np.isin(store.patients, drawn), plan.assignment, NOWHERE))


def _train(
    number: int, seed: int, store: Store, plan: FoldPlan, *, losses: tuple[np.ndarray, ...], values: np.ndarray
) -> None:
    """Train a setting and put what was found into the arrays."""

    def keep(epoch: Epoch) -> None:
        losses[epoch.position][number, epoch.epoch] = epoch.losses
        values[number, epoch.position, epoch.epoch] = epoch.value

    try:
        run_experiment(config_of(number), store, plan, seed=trial_seed(seed, number), device="cpu", on_epoch=keep)
    except TrainingError:  # it diverged: NaN from there on
        return
