"""The bands of a mel spectrogram: triangles that are evenly spaced on a mel scale."""

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.dft import SFREQ


class Mel(Component):
    """Bands, window and range of a mel spectrogram (Hann window, centred, zeros outside the recording).

    Attributes
    ----------
    n_fft
        Points of the transform; its bins are 200 Hz / n_fft apart.
    win_length
        Samples under the window, even.
    n_mels, low_hz, high_hz
        How many bands, and between which frequencies.
    scale
        ``slaney``: librosa's, linear below 1000 Hz, bands of equal area. ``htk``: torchaudio's, logarithmic, bands of
        equal height.
    top_db
        Range in decibels: what lies further below a derivation's maximum is raised to there.
    """

    n_fft: int = Field(1024, ge=16)
    win_length: int = Field(128, ge=4, multiple_of=2)
    n_mels: int = Field(128, ge=1)
    low_hz: float = Field(0.0, ge=0)
    high_hz: float = Field(20.0, le=SFREQ / 2)
    scale: Literal["slaney", "htk"] = "slaney"
    top_db: float = Field(80.0, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "Mel":
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz must be below high_hz, found {self.low_hz:g} and {self.high_hz:g}")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length must be at most n_fft, found {self.win_length} and {self.n_fft}")
        empty = int((mel_matrix(self).max(axis=1) == 0).sum())
        if empty:
            raise ValueError(
                f"{empty} of {self.n_mels} mel bands between {self.low_hz:g} and {self.high_hz:g} Hz hold no bin of a "
                f"transform of {self.n_fft} points: raise n_fft or lower n_mels"
            )
        return self


@lru_cache(maxsize=64)
def mel_matrix(mel: Mel) -> Float[np.ndarray, "mel freq"]:
    """Return the triangular bands as weights of the transform's n_fft // 2 + 1 bins, float32, as librosa makes them."""
    bins = np.arange(mel.n_fft // 2 + 1) * SFREQ / mel.n_fft
    corners = _hz(np.linspace(_mels(mel.low_hz, mel.scale), _mels(mel.high_hz, mel.scale), mel.n_mels + 2), mel.scale)
    lower, middle, upper = (rearrange(corners[i : i + mel.n_mels], "mel -> mel 1") for i in range(3))
    bands = np.maximum(0, np.minimum((bins - lower) / (middle - lower), (upper - bins) / (upper - middle)))
    if mel.scale == "slaney":
        bands *= 2 / (upper - lower)
    weights: Float[np.ndarray, "mel freq"] = bands.astype(np.float32)
    return weights


class Bands(NamedTuple):
    """The mel matrix without its zeros: a band's few bins and their weights."""

    frequencies: tuple[float, ...]
    bins: Int[Tensor, "tap mel"]
    weights: Float[Tensor, "tap mel 1"]


@lru_cache(maxsize=64)
def mel_bands(mel: Mel, device: torch.device) -> Bands:
    """Return, of bins that any band needs, their frequencies, and each band's bins and weights padded with 0."""
    matrix = mel_matrix(mel)
    needed = np.flatnonzero(matrix.any(axis=0))
    matrix = matrix[:, needed[0] : needed[-1] + 1]
    taps = np.arange(int((matrix > 0).sum(axis=1).max()))[:, None]
    bins = np.minimum((matrix > 0).argmax(axis=1) + taps, matrix.shape[1] - 1)
    weights = matrix[np.arange(mel.n_mels), bins]
    weights[(taps > 0) & (bins == np.roll(bins, 1, axis=0))] = 0  # a bin at the edge counts once
    frequencies = tuple(float(k) * SFREQ / mel.n_fft for k in range(needed[0], needed[-1] + 1))
    return Bands(frequencies, torch.from_numpy(bins).to(device), torch.from_numpy(weights[..., None]).to(device))


def _mels(hz: float, scale: str) -> float:
    """Return a frequency on a mel scale: Slaney's (Auditory Toolbox, 1998) or that of HTK (O'Shaughnessy)."""
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    return hz * 3 / 200


def _hz(mels: Float[np.ndarray, " corner"], scale: str) -> Float[np.ndarray, " corner"]:
    """Return frequencies from their mels; below 100 Hz Slaney's scale is linear."""
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    return mels * 200 / 3
