"""Mel spectrograms: power of short frames, summed in mel bands, in decibels."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field
from hms_search.eeg.chains import chain_means
from hms_search.eeg.contrast import with_contrasts
from hms_search.eeg.dft import SFREQ, Frames, by_chunks, fourier_basis, power
from hms_search.eeg.mel_bands import Mel, mel_bands

_LOWEST_POWER = 1e-10
"""``amin`` of librosa and torchaudio."""
_DECIBELS_PER_E = 10 / math.log(10)


class ChainMel(Component):
    """Mean over each chain's derivations of their mel spectrograms in decibels (Deotte's "magic formula").

    A derivation's decibels are relative to its own maximum and scaled to [-1, 1]: (dB + 40) / 40 where ``top_db`` is
    80. The hop is the recording's length // ``frames``: 39 samples of 10,000. Silence (all zero) is 1 everywhere, as in
    librosa's recipe.
    """

    name: Literal["chain_mel"] = "chain_mel"
    mel: Mel = Mel()
    frames: int = Field(256, ge=1)

    def forward(
        self, x: Float[Tensor, "batch derivation time"], chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch chain freq frame"]:
        """Return one plane per chain; raises ValueError where there are no chains or too few samples."""
        if not chains:
            raise ValueError("chain_mel needs a montage with chains, found none: choose deotte, or log_mel")
        if x.shape[2] < self.frames:
            raise ValueError(f"chain_mel needs a sample per frame ({self.frames}), found {x.shape[2]} samples")
        hop = x.shape[2] // self.frames
        count = 1 + x.shape[2] // hop  # librosa's frames: also those that are cut off count for the maximum

        def decibels(part: Tensor) -> Tensor:
            return _scaled_decibels(part, self.mel, hop=hop, count=count)[..., : self.frames]

        values_each = _values_each(self.mel, x.shape[1], count)
        return by_chunks(lambda part: chain_means(decibels, part, chains), x, values_each)


class LogMel(Component):
    """The mel spectrogram of every derivation in decibels, scaled as :class:`ChainMel` does (98th and 3rd place).

    Attributes
    ----------
    mel
        Bands, window and range. 3rd place: {n_fft: 1024, n_mels: 128, low_hz: 0.53, high_hz: 40, scale: htk, top_db:
        100}, or with n_fft 512, n_mels 64, high_hz 30 and a hop of 32.
    hop_length
        Samples between frames.
    reference
        ``maximum``: decibels relative to the derivation's maximum, whatever its amplitude. ``unit``: relative to 1,
        squared units of the signal, so that amplitudes stay comparable.
    contrasts
        Whether the planes of :func:`hms_search.eeg.contrast.with_contrasts` follow those of the derivations.
    """

    name: Literal["log_mel"] = "log_mel"
    mel: Mel = Mel()
    hop_length: int = Field(39, ge=1)
    reference: Literal["maximum", "unit"] = "maximum"
    contrasts: bool = False

    def forward(
        self, x: Float[Tensor, "batch derivation time"], chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch plane freq frame"]:
        """Return one plane per derivation, or three, with 1 + time // hop_length frames."""
        count = 1 + x.shape[2] // self.hop_length

        def transform(part: Tensor) -> Tensor:
            planes = _scaled_decibels(part, self.mel, hop=self.hop_length, count=count, reference=self.reference)
            return with_contrasts(planes, chains) if self.contrasts else planes

        return by_chunks(transform, x, _values_each(self.mel, x.shape[1], count))


def _scaled_decibels(
    x: Float[Tensor, "batch derivation time"],
    mel: Mel,
    *,
    hop: int,
    count: int,
    reference: Literal["maximum", "unit"] = "maximum",
) -> Float[Tensor, "batch derivation mel frame"]:
    """Return (dB + top_db / 2) / (top_db / 2), with decibels relative to the derivation's maximum or to 1."""
    energy = _mel_power(x, mel, hop=hop, count=count)
    peak = energy.amax(dim=(2, 3), keepdim=True).clamp_(min=_LOWEST_POWER)
    floor = (peak * 10 ** (-mel.top_db / 10)).clamp_(min=_LOWEST_POWER)
    log_energy = torch.maximum(energy, floor, out=energy).log_()
    per_e = _DECIBELS_PER_E / (mel.top_db / 2)
    offset = 1 - per_e * peak.log() if reference == "maximum" else torch.ones_like(peak)
    return torch.add(offset, log_energy, alpha=per_e, out=log_energy)


def _mel_power(
    x: Float[Tensor, "batch derivation time"], mel: Mel, *, hop: int, count: int
) -> Float[Tensor, "batch derivation mel frame"]:
    bands = mel_bands(mel, x.device)
    frames = Frames(taps=mel.win_length, hop=hop, start=-mel.win_length // 2, count=count)
    bins = power(x, frames, fourier_basis("hann", mel.win_length, bands.frequencies, x.device))
    energy = bins.index_select(2, bands.bins[0]).mul_(bands.weights[0])
    for tap, weight in zip(bands.bins[1:], bands.weights[1:], strict=True):
        energy.addcmul_(bins.index_select(2, tap), weight)
    return energy


def _values_each(mel: Mel, n_derivations: int, count: int) -> int:
    """Return how many values the transform and the bands of one recording have."""
    n_bins = round((mel.high_hz - mel.low_hz) * mel.n_fft / SFREQ)
    return n_derivations * count * (mel.win_length + 2 * n_bins + 2 * mel.n_mels)
