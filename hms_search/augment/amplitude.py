"""Amplitude: head scaling, polarity and noise."""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hms_search.augment.batch import Recordings, each
from hms_search.augment.draws import Probability, acting, normal, uniform
from hms_search.component import Component, Field


class HeadScale(Component):
    """All electrodes times one number from U(1 - spread, 1 + spread): another distance between them.

    15th place, spread 0.0375, on every training sample; there on the differences, which is the same.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["head_scale"] = "head_scale"
    p: Probability = 1.0
    spread: float = Field(0.0375, gt=0, lt=1)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings scaled."""
        rows = acting(self.p, len(batch), generator)
        scale = uniform(1 - self.spread, 1 + self.spread, len(rows), generator)
        return batch.changed(rows, eeg=lambda x: x * each(scale, x))


class PolarityInversion(Component):
    """All electrodes times -1: what pointed upwards points downwards.

    5th place, p 0.5, on the differences of its 1-D networks, which is the same. A power spectrum does not see it: it is
    for networks that look at the waves themselves.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["polarity_inversion"] = "polarity_inversion"
    p: Probability = 0.5

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings upside down."""
        return batch.changed(acting(self.p, len(batch), generator), eeg=torch.neg)


class EdgeNoise(Component):
    """White noise that grows from the labelled middle towards the edges of the window.

    A difference of two electrodes gets N(0, s/3) + g(t) N(0, s) with g(t) = 1 - exp(-(t - T/2)^2 / (2 (0.3 T)^2)) and
    s = ``difference_uv``, in microvolts; each electrode gets 1/sqrt(2) of it. 15th place, on every training sample:
    s = 0.015 in units of 32 microvolts, so 0.48 microvolts, T = 10,000 samples.

    There, each of 24 differences gets noise of its own after the 50 Hz low-pass; here, differences that share an
    electrode share its noise, and filters act on it.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["edge_noise"] = "edge_noise"
    p: Probability = 1.0
    difference_uv: float = Field(0.48, gt=0)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with noise on some recordings."""

        def with_noise(x: Tensor) -> Tensor:
            return x + self._std_uv(x) * normal(x.shape, x.device, generator)

        return batch.changed(acting(self.p, len(batch), generator), eeg=with_noise)

    def _std_uv(self, eeg: Tensor) -> Tensor:
        """Return the standard deviation of an electrode's noise at each time: that of the sum of the two normals."""
        n_times = eeg.shape[1]
        from_middle = (torch.arange(n_times, device=eeg.device) - n_times / 2) / (0.3 * n_times)
        edges = 1 - torch.exp(-from_middle.square() / 2)
        return self.difference_uv / math.sqrt(2) * (1 / 9 + edges.square()).sqrt()[:, None]
