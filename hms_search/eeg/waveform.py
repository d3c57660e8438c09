"""The signals themselves, for networks that look at waves."""

from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field


class Waveform(Component):
    """Every derivation as a plane of one row; stacked they are an image of signals by time.

    Attributes
    ----------
    every
        Only each so many-th sample is kept; filter first (Deotte's WaveNet starter: 5, after a low-pass of 20 Hz).
    length
        Samples in the middle that are kept, or null: all (4th place: 9600).
    centre
        Whether each derivation's mean is taken off (4th place).
    """

    name: Literal["waveform"] = "waveform"
    every: int = Field(1, ge=1)
    length: int | None = Field(None, ge=1)
    centre: bool = False

    def forward(
        self, x: Float[Tensor, "batch derivation time"], _chains: tuple[tuple[int, ...], ...]
    ) -> Float[Tensor, "batch derivation 1 sample"]:
        """Return the signals; raises ValueError where the recording is shorter than ``length``."""
        if self.length is not None:
            if x.shape[2] < self.length:
                raise ValueError(f"waveform needs {self.length} samples, found {x.shape[2]}")
            start = (x.shape[2] - self.length) // 2
            x = x[:, :, start : start + self.length]
        x = x[:, :, :: self.every].float().contiguous()
        if self.centre:
            x = x - x.mean(dim=2, keepdim=True)
        return rearrange(x, "batch derivation sample -> batch derivation 1 sample")
