"""The input pipeline: from the log power of a spectrogram to the image a network sees.

Steps, in the order of the baseline notebook ("HMS: Train EfficientNetB1"): fill gaps, clip in log space, normalise,
resize. One object serves training, validation and later use of a model, so the input cannot drift between them.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.histogram import HIGHEST, LOWEST, Moments, clipped_moments
from hms_search.eeg.normalise import Datawide, Instance, Normalise

PIPELINE_VERSION = 1
"""Raised whenever the same configuration makes another image of the same recording."""


class ClipLog(Component):
    """Bounds of log power, as exponents of e: power is clipped to [e^low, e^high]; the report's high- and lowpass."""

    low: float = Field(-6.0, ge=LOWEST, le=HIGHEST)
    high: float = Field(10.0, ge=LOWEST, le=HIGHEST)

    @model_validator(mode="after")
    def _in_order(self) -> "ClipLog":
        if self.low >= self.high:
            raise ValueError(f"low must be below high, found low {self.low:g} and high {self.high:g}")
        return self


class SpectrogramPipeline(Component):
    """How spectrogram power becomes the network's input; see :meth:`fit`.

    Attributes
    ----------
    gap_fill
        ``floor``: a missing value becomes the lower clip bound (the baseline sets it to -1, which is clipped there).
        ``mean``: it is left out of the recording's statistics and becomes the mean of the clipped values.
    clip_log
        Bounds of the log power.
    normalise
        ``instance``, ``datawide``, ``robust`` or ``none``.
    resize
        Height (frequencies) and width (times) of the image, or null: as they are.
    antialias
        Whether the bilinear resize smooths before it shrinks; stated because the default of torchvision changed.
    """

    source: Literal["spectrogram"] = "spectrogram"
    gap_fill: Literal["floor", "mean"] = "floor"
    clip_log: ClipLog = ClipLog()
    normalise: Normalise = Instance()
    resize: tuple[int, int] | None = (512, 512)
    antialias: bool = True

    @model_validator(mode="after")
    def _has_a_size(self) -> "SpectrogramPipeline":
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"resize must be two positive numbers [height, width], found {list(self.resize)}")
        return self

    def fit(self, counts: Integer[np.ndarray, " counts"]) -> "InputPipeline":
        """Return the pipeline with the statistics it needs, from the histogram of the *training* rows' log power.

        ``counts`` is the sum of :func:`hms_search.eeg.histogram.count_log_power` over those rows; it is looked at by
        the ``datawide`` normalisation only.
        """
        if not isinstance(self.normalise, Datawide):
            return InputPipeline(config=self)
        at_low = self.gap_fill == "floor"
        moments = clipped_moments(counts, self.clip_log.low, self.clip_log.high, gaps_at_low=at_low)
        return InputPipeline(config=self, mean=moments.mean, std=moments.std, count=moments.count)


class InputPipeline(Component):
    """A fitted pipeline. ``to_dict`` and ``model_validate`` carry it to and from JSON, beside a checkpoint."""

    config: SpectrogramPipeline
    mean: float | None = None
    std: float | None = None
    count: int | None = None

    def forward(self, log_power: Float[Tensor, "batch time freq"]) -> Float[Tensor, "batch 1 height width"]:
        """Return the images of recordings of equal length, float32, frequency by time, on the device of the input.

        ``log_power`` is natural-log power of any float type: -inf for power 0, NaN for missing values; frequencies in
        the order of the file (LL, RL, LP, RP x 100).
        """
        for _, x in self._transform(log_power):
            image = x
        return image

    def steps(self, log_power: Float[Tensor, "batch time freq"]) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the result of each step, from the power itself to the image of :meth:`forward`."""
        yield "power", log_power.float().exp()
        yield "log", log_power.float()
        yield from self._transform(log_power)

    def _transform(self, log_power: Tensor) -> Iterator[tuple[str, Tensor]]:
        low, high = self.config.clip_log.low, self.config.clip_log.high
        if self.config.gap_fill == "floor":
            x = log_power.to(torch.float32).nan_to_num(nan=low, posinf=torch.inf, neginf=-torch.inf)
            yield "gap fill", x
            x = x.clamp(low, high)
            yield "clip", x
            x = self.config.normalise.forward(x, self._moments())
            yield "normalise", x
        else:
            x = log_power.to(torch.float32).clamp(low, high)
            yield "clip", x
            x = self.config.normalise.forward(x, self._moments())
            yield "normalise", x
            x = _fill_with_mean(x)
            yield "gap fill", x
        yield "resize" if self.config.resize else "image", self._image(x)

    def _moments(self) -> Moments | None:
        if self.mean is None or self.std is None or self.count is None:
            return None
        return Moments(self.mean, self.std, self.count)

    def _image(self, x: Float[Tensor, "batch time freq"]) -> Float[Tensor, "batch 1 height width"]:
        image = rearrange(x, "batch time freq -> batch 1 freq time").contiguous()
        if self.config.resize is None:
            return image
        return functional.interpolate(
            image, size=self.config.resize, mode="bilinear", align_corners=False, antialias=self.config.antialias
        )


def _fill_with_mean(x: Float[Tensor, "batch time freq"]) -> Float[Tensor, "batch time freq"]:
    """Return the recordings with each NaN replaced by its recording's mean; a recording of NaNs becomes zeros.

    Normalising is affine, so the mean of the normalised values is the normalised mean of the clipped ones.
    """
    gaps = x.isnan()
    if not gaps.any():
        return x
    return torch.where(gaps, x.nanmean(dim=(1, 2), keepdim=True).nan_to_num(), x)
