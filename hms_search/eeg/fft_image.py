"""Amplitude per derivation and frequency over a whole recording: an image without a time axis."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.dft import SFREQ, Frames, by_chunks, fourier_basis, power

_QUARTILES = (0.25, 0.75)


class FftImage(Component):
    """Mean, lower and upper quartile over a recording's windows of log10 FFT magnitude (hackathon; IBM's method 1).

    Attributes
    ----------
    window_s, step_s
        Length of a window and from window to window, seconds. IBM: 1, 2, 4, 8 or 16, and a quarter or half of it.
    high_hz
        Bins 1 / window_s, 2 / window_s ... up to here are kept. IBM: 12, 24, 48, 64 or 96 (at 250 Hz).
    """

    name: Literal["fft_image"] = "fft_image"
    window_s: float = Field(1.0, gt=0, multiple_of=2 / SFREQ)
    step_s: float = Field(0.5, gt=0, multiple_of=1 / SFREQ)
    high_hz: float = Field(24.0, gt=0, le=SFREQ / 2)

    @model_validator(mode="after")
    def _has_a_bin(self) -> "FftImage":
        if not self.frequencies:
            raise ValueError(f"high_hz must be at least 1 / window_s = {1 / self.window_s:g}, found {self.high_hz:g}")
        return self

    @property
    def frequencies(self) -> tuple[float, ...]:
        """The columns of the image, in Hz."""
        return tuple(k / self.window_s for k in range(1, int(self.high_hz * self.window_s + 1e-9) + 1))

    def forward(
        self, x: Float[Tensor, "batch derivation time"], _chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch 3 derivation freq"]:
        """Return the planes mean, 25th and 75th percentile, derivations as rows and frequencies as columns."""
        return by_chunks(lambda part: _statistics(self._log_magnitude(part)), x, self._values_each(x))

    def log_magnitude(self, x: Float[Tensor, "batch derivation time"]) -> Float[Tensor, "batch derivation freq window"]:
        """Return log10 of each window's magnitudes; where one is 0, a tenth of the recording's smallest stands for it.

        Raises ValueError where the recording is shorter than a window.
        """
        return by_chunks(self._log_magnitude, x, self._values_each(x))

    def _log_magnitude(
        self, x: Float[Tensor, "batch derivation time"]
    ) -> Float[Tensor, "batch derivation freq window"]:
        frames = Frames(taps=self._taps, hop=round(self.step_s * SFREQ), start=0, count=self._count(x))
        basis = fourier_basis("boxcar", self._taps, self.frequencies, x.device)
        # A constant is in no bin, but rounding would leave some of it.
        magnitudes = power(x, frames, basis, detrend=True).sqrt_()
        positive = torch.where(magnitudes > 0, magnitudes, torch.inf)
        smallest = positive.amin(dim=(1, 2, 3), keepdim=True).nan_to_num_(posinf=1.0)  # silence
        return torch.where(magnitudes > 0, magnitudes, 0.1 * smallest).log10_()

    @property
    def _taps(self) -> int:
        return round(self.window_s * SFREQ)

    def _count(self, x: Float[Tensor, "batch derivation time"]) -> int:
        if x.shape[2] < self._taps:
            raise ValueError(f"fft_image needs a window of {self._taps} samples, found {x.shape[2]}")
        return (x.shape[2] - self._taps) // round(self.step_s * SFREQ) + 1

    def _values_each(self, x: Float[Tensor, "batch derivation time"]) -> int:
        return x.shape[1] * self._count(x) * (self._taps + 3 * len(self.frequencies))


def _statistics(
    log_magnitude: Float[Tensor, "batch derivation freq window"],
) -> Float[Tensor, "batch 3 derivation freq"]:
    """Return the mean and the quartiles, interpolated between ranks as NumPy does."""
    ranked = log_magnitude.sort(dim=3).values
    planes = [ranked.mean(dim=3)]
    for level in _QUARTILES:
        rank = level * (ranked.shape[3] - 1)
        below, above = int(rank), min(int(rank) + 1, ranked.shape[3] - 1)
        planes.append(torch.lerp(ranked[..., below], ranked[..., above], rank - below))
    return torch.stack(planes, dim=1)
