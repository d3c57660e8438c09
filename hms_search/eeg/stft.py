"""Short-time Fourier transforms at evenly spaced frequencies of any distance, as nnAudio's."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.dft import SFREQ, Frames, Window, by_chunks, fourier_basis, power

_HIGHEST, _MIDDLE = 20.0, 7.5
"""Clamp and scale of log power in the 15th place's code, for signals in units of 32 µV."""


class Stft(Component):
    """ln(1 + power) of every derivation, clamped to [0, 20] and scaled to (x - 7.5) / 7.5 (15th place).

    The kernels are those that the 15th place's trainable layer starts from. The scale suits signals in units of 32 µV.

    Attributes
    ----------
    n_fft
        Sets the number of frequencies, n_fft // 2 + 1, and that frames are this far apart from the recording's ends.
    win_length, window
        Samples under the window, even, in the middle of n_fft; and its shape.
    hop_length
        Samples between frames.
    low_hz, high_hz
        Frequencies start at ``low_hz``; after the last one would come ``high_hz``.

    The defaults are variant A. Variant B is {n_fft: 190, win_length: 96, hop_length: 24, window: hann}.
    """

    name: Literal["stft"] = "stft"
    n_fft: int = Field(110, ge=4)
    win_length: int = Field(64, ge=4, multiple_of=2)
    hop_length: int = Field(23, ge=1)
    window: Window = "cosine"
    low_hz: float = Field(0.0, ge=0)
    high_hz: float = Field(40.0, le=SFREQ / 2)

    @model_validator(mode="after")
    def _fits(self) -> "Stft":
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz must be below high_hz, found {self.low_hz:g} and {self.high_hz:g}")
        if self.win_length > self.n_fft:
            raise ValueError(f"win_length must be at most n_fft, found {self.win_length} and {self.n_fft}")
        return self

    @property
    def frequencies(self) -> tuple[float, ...]:
        """The rows of a plane, in Hz."""
        n_bins = self.n_fft // 2 + 1
        return tuple(self.low_hz + k * (self.high_hz - self.low_hz) / n_bins for k in range(n_bins))

    def forward(
        self, x: Float[Tensor, "batch derivation time"], _chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch derivation freq frame"]:
        """Return one plane per derivation; raises ValueError where the recording is shorter than a frame."""
        if x.shape[2] < self.n_fft:
            raise ValueError(f"stft needs a frame of {self.n_fft} samples, found {x.shape[2]}")
        count = (x.shape[2] - self.n_fft) // self.hop_length + 1
        start = (self.n_fft - self.win_length) // 2
        frames = Frames(taps=self.win_length, hop=self.hop_length, start=start, count=count)
        basis = fourier_basis(self.window, self.win_length, self.frequencies, x.device)

        def transform(part: Tensor) -> Tensor:
            return scaled(power(part, frames, basis))

        return by_chunks(transform, x, x.shape[1] * count * (self.win_length + 2 * len(self.frequencies)))


def scaled(power: Float[Tensor, "*planes"]) -> Float[Tensor, "*planes"]:
    """Return ln(1 + power), clamped and scaled; a gradient can go through."""
    return power.log1p().clamp(max=_HIGHEST).sub_(_MIDDLE).div_(_MIDDLE)
