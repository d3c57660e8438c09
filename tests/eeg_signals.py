"""Signals for the tests of what is made of EEG: real derivations, tones, and recordings as they should not be."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.montage import Bipolar, derive

DEOTTE = Bipolar(name="deotte")


def real_eeg(shared_data: Path, eeg_id: int) -> Tensor:
    """The middle 10,000 samples of a real recording ``[1, time, 20]``, a gap being its electrode's mean."""
    eeg = pd.read_parquet(shared_data / "iiic" / "train_eegs" / f"{eeg_id}.parquet")[list(ELECTRODES)]
    start = max(0, len(eeg) - 10_000) // 2
    middle = eeg.iloc[start : start + 10_000]
    return torch.from_numpy(middle.fillna(middle.mean()).fillna(0).to_numpy(dtype=np.float32, copy=True))[None]


def real_derivations(shared_data: Path, eeg_id: int) -> Tensor:
    """The 16 derivations of the four chains of a real recording ``[1, 16, time]``."""
    return derive(real_eeg(shared_data, eeg_id), DEOTTE.matrix())


def tone(hz: float, *, n_derivations: int = 16, n_times: int = 10_000, amplitude: float = 50.0) -> Tensor:
    """The same sine in every derivation ``[1, derivation, time]``."""
    wave = amplitude * torch.sin(2 * torch.pi * hz * torch.arange(n_times) / 200)
    return wave.expand(1, n_derivations, n_times)


def noise(n: int = 3, *, n_derivations: int = 16, n_times: int = 10_000, seed: int = 0) -> Tensor:
    """Recordings of white noise of 30 µV ``[n, derivation, time]``."""
    return 30 * torch.from_numpy(
        np.random.default_rng(seed).normal(size=(n, n_derivations, n_times)).astype(np.float32)
    )


def awkward_signals() -> dict[str, Tensor]:
    """Derivations as they should not be, each ``[1, 16, time]``."""
    saturated = 60_000 * noise(1).sign()
    short = torch.zeros(1, 16, 10_000)
    short[:, :, 4000:6000] = noise(1)[:, :, 4000:6000]
    one_flat = noise(1)
    one_flat[:, 3] = 0
    return {
        "silent": torch.zeros(1, 16, 10_000),
        "flat": torch.full((1, 16, 10_000), 123.4),
        "saturated": saturated,
        "saturated half precision": saturated.half(),
        "ten seconds amid zeros": short,
        "ten seconds": noise(1, n_times=2000),
        "one flat derivation": one_flat,
    }
