"""Power spectral density of short segments, as ``scipy.signal.spectrogram`` estimates it."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.chains import chain_means
from hms_search.eeg.dft import SFREQ, Frames, Window, by_chunks, fourier_basis, power, window_taps


class Psd(Component):
    """Natural log of the power spectral density, mean over each chain or of every derivation (Radboud, 7th place).

    The density is per cycle and sample, as SciPy returns it where no sampling rate is given: 200 times that per Hz.
    Each segment's mean is taken off first.

    Attributes
    ----------
    win_length, hop_length
        Samples of a segment, even, and from segment to segment.
    n_fft
        Points of the transform; its bins are 200 Hz / n_fft apart.
    window
        ``tukey`` is SciPy's default.
    low_hz, high_hz
        Which bins are kept, both bounds included. 7th place: 0.5 and 20.
    planes
        ``chain``: the mean over each chain's derivations. ``derivation``: every derivation.
    low, high
        Bounds of the log density, as exponents of e.
    """

    name: Literal["psd"] = "psd"
    win_length: int = Field(150, ge=4, multiple_of=2)
    hop_length: int = Field(22, ge=1)
    n_fft: int = Field(256, ge=4, multiple_of=2)
    window: Window = "tukey"
    low_hz: float = Field(0.0, ge=0)
    high_hz: float = Field(100.0, le=SFREQ / 2)
    planes: Literal["chain", "derivation"] = "chain"
    low: float = -6.0
    high: float = 10.0

    @model_validator(mode="after")
    def _fits(self) -> "Psd":
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length must be at most n_fft, found {self.win_length} and {self.n_fft}")
        if self.low >= self.high:
            raise ValueError(f"low must be below high, found {self.low:g} and {self.high:g}")
        if not self.frequencies:
            raise ValueError(f"no bin of the transform lies between {self.low_hz:g} and {self.high_hz:g} Hz")
        return self

    @property
    def frequencies(self) -> tuple[float, ...]:
        """The bins that are kept, in Hz."""
        bins = (k * SFREQ / self.n_fft for k in range(self.n_fft // 2 + 1))
        return tuple(hz for hz in bins if self.low_hz <= hz <= self.high_hz)

    def forward(
        self, x: Float[Tensor, "batch derivation time"], chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch plane freq frame"]:
        """Return the clipped log of :meth:`density`."""
        return self.density(x, chains).log_().clamp_(self.low, self.high)

    def density(
        self, x: Float[Tensor, "batch derivation time"], chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch plane freq frame"]:
        """Return the density in squared units of the signal; raises ValueError where chains or samples are missing."""
        if self.planes == "chain" and not chains:
            raise ValueError(
                "psd of chains needs a montage with chains, found none: take deotte, or planes: derivation"
            )
        if x.shape[2] < self.win_length:
            raise ValueError(f"psd needs a segment of {self.win_length} samples, found {x.shape[2]}")
        count = (x.shape[2] - self.win_length) // self.hop_length + 1
        frames = Frames(taps=self.win_length, hop=self.hop_length, start=0, count=count)
        basis = fourier_basis(self.window, self.win_length, self.frequencies, x.device)
        scale = self._scale().to(x.device)

        def densities(part: Tensor) -> Tensor:
            return power(part, frames, basis, detrend=True).mul_(scale)

        values_each = x.shape[1] * count * (self.win_length + 2 * len(self.frequencies))
        if self.planes == "derivation":
            return by_chunks(densities, x, values_each)
        return by_chunks(lambda part: chain_means(densities, part, chains), x, values_each)

    def _scale(self) -> Float[Tensor, "freq 1"]:
        """Return what makes power a one-sided density: each bin but 0 Hz and 100 Hz stands for two."""
        energy = float((window_taps(self.window, self.win_length) ** 2).sum())
        sides = [1.0 if hz in (0, SFREQ / 2) else 2.0 for hz in self.frequencies]
        return rearrange(torch.tensor(sides) / energy, "freq -> freq 1")
