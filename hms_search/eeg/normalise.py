"""Normalisation of clipped log power: which mean and which scale a recording is measured by."""

from typing import Annotated, Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field
from hms_search.eeg.histogram import Moments

EPSILON = 1e-6
"""Added to every scale, as in the baseline notebook: a flat recording becomes zeros."""
_IQR_OF_A_NORMAL = 1.349


class Instance(Component):
    """(x - mean) / (std + 1e-6) with the recording's own mean and population standard deviation (the baseline)."""

    name: Literal["instance"] = "instance"

    def forward(
        self, x: Float[Tensor, "batch time freq"], _moments: Moments | None
    ) -> Float[Tensor, "batch time freq"]:
        """Return each recording with mean 0 and standard deviation 1 over its values; NaNs are left out and stay."""
        mean, std = _moments_of(x)
        return (x - mean).div_(std + EPSILON)


class Datawide(Component):
    """(x - mean) / (std + 1e-6) with the mean and standard deviation of all training recordings, clipped alike."""

    name: Literal["datawide"] = "datawide"

    def forward(self, x: Float[Tensor, "batch time freq"], moments: Moments | None) -> Float[Tensor, "batch time freq"]:
        """Return the recordings in units of the training rows; raises ValueError where no statistics were fitted."""
        if moments is None:
            raise ValueError("datawide normalisation needs the statistics of the training rows, found none: fit it")
        return (x - moments.mean).div_(moments.std + EPSILON)


class Robust(Component):
    """(x - median) / (IQR / 1.349 + 1e-6) with the recording's own median and interquartile range.

    IQR / 1.349 is the standard deviation of a normal distribution. At least a tenth of the recording's standard
    deviation is used, or a recording that lies mostly on the clip bound, with an IQR of 0, would come out huge.
    """

    name: Literal["robust"] = "robust"

    def forward(
        self, x: Float[Tensor, "batch time freq"], _moments: Moments | None
    ) -> Float[Tensor, "batch time freq"]:
        """Return each recording with median 0; NaNs are left out and stay."""
        lower, median, upper = _quantiles(x, (0.25, 0.5, 0.75))
        _, std = _moments_of(x)
        scale = torch.maximum((upper - lower) / _IQR_OF_A_NORMAL, std / 10)
        return (x - median).div_(scale + EPSILON)


class Unnormalised(Component):
    """The clipped log power as it is."""

    name: Literal["none"] = "none"

    def forward(
        self, x: Float[Tensor, "batch time freq"], _moments: Moments | None
    ) -> Float[Tensor, "batch time freq"]:
        """Return the input."""
        return x


Normalise = Annotated[Instance | Datawide | Robust | Unnormalised, Field(discriminator="name")]
"""Every normalisation; a new one is a class here and its place in this union."""


def _moments_of(
    x: Float[Tensor, "batch time freq"],
) -> tuple[Float[Tensor, "batch 1 1"], Float[Tensor, "batch 1 1"]]:
    """Return the mean and population standard deviation of each recording, over the values that are not NaN.

    Two passes: ``torch.var_mean`` takes twenty times as long on a CPU.
    """
    mean = x.mean(dim=(1, 2), keepdim=True)
    if not mean.isnan().any():
        return mean, (x - mean).square_().mean(dim=(1, 2), keepdim=True).sqrt_()
    mean = x.nanmean(dim=(1, 2), keepdim=True).nan_to_num()
    return mean, (x - mean).square_().nanmean(dim=(1, 2), keepdim=True).nan_to_num().sqrt()


def _quantiles(x: Float[Tensor, "batch time freq"], levels: tuple[float, ...]) -> list[Float[Tensor, "batch 1 1"]]:
    """Return quantiles of each recording over the values that are not NaN, interpolated linearly between ranks.

    ``torch.nanquantile`` refuses more than 16 million values, which a batch of long recordings exceeds. On a CPU,
    NumPy's selection takes a fifth of the time of a sort.
    """
    if x.device.type != "cpu":
        return _quantiles_by_sorting(x, levels)
    quantiles = np.zeros((len(levels), len(x)), dtype=np.float32)
    for number, recording in enumerate(x.numpy()):
        values = recording[~np.isnan(recording)]
        if values.size:
            quantiles[:, number] = np.quantile(values, levels, overwrite_input=True)
    return [rearrange(level, "batch -> batch 1 1") for level in torch.from_numpy(quantiles)]


def _quantiles_by_sorting(
    x: Float[Tensor, "batch time freq"], levels: tuple[float, ...]
) -> list[Float[Tensor, "batch 1 1"]]:
    ranked = rearrange(x, "batch time freq -> batch (time freq)").sort(dim=1).values
    last = ranked.isfinite().sum(dim=1, keepdim=True).sub(1).clamp_(min=0)
    quantiles = []
    for level in levels:
        rank = last * level
        below, above = rank.floor().long(), rank.ceil().long()
        value = torch.lerp(ranked.gather(1, below), ranked.gather(1, above), rank - below)
        quantiles.append(rearrange(value.nan_to_num(), "batch 1 -> batch 1 1"))
    return quantiles
