"""The input pipeline: from the log power of a spectrogram to the image a network sees.

Steps, in the order of the baseline notebook ("HMS: Train EfficientNetB1"): cut out planes, fill gaps, clip in log
space, normalise, lay out, resize. One object serves training, validation and later use of a model, so the input cannot
drift between them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.histogram import HIGHEST, LOWEST, Moments, clipped_moments
from hms_search.eeg.layout import Layout, Stack
from hms_search.eeg.normalise import Datawide, Instance, Normalise
from hms_search.eeg.shapes import ImageShape, Kind
from hms_search.eeg.spectrogram_planes import Differences, Planes, WholeFile

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
    planes
        What is cut out and, except for ``differences``, normalised by itself: the ``file``, its ``regions``, or also
        their ``differences``.
    gap_fill
        ``floor``: a missing value becomes the lower clip bound (the baseline sets it to -1, which is clipped there).
        ``mean``: it is left out of the statistics and becomes the mean of the clipped values.
    clip_log
        Bounds of the log power.
    normalise
        ``instance``, ``datawide``, ``robust`` or ``none``.
    scale, limit
        Normalised values are divided by ``scale`` (Deotte: 2) and clipped to a magnitude of ``limit``, or null (15th
        place: 16).
    width, margin
        How many times in the middle are kept, shorter recordings padded with 0, or null: all; and how many rows of 0
        each plane gets above and below (Deotte: 256 and 14).
    layout
        How planes make an image.
    resize
        Height (frequencies) and width (times) of the image, or null: as they are.
    antialias
        Whether the bilinear resize smooths before it shrinks; stated because the default of torchvision changed.
    """

    source: Literal["spectrogram"] = "spectrogram"
    planes: Planes = WholeFile()
    gap_fill: Literal["floor", "mean"] = "floor"
    clip_log: ClipLog = ClipLog()
    normalise: Normalise = Instance()
    scale: float = Field(1.0, gt=0)
    limit: float | None = Field(None, gt=0)
    width: int | None = Field(None, ge=1)
    margin: int = Field(0, ge=0)
    layout: Layout = Stack()
    resize: tuple[int, int] | None = (512, 512)
    antialias: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> "SpectrogramPipeline":
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"resize must be two positive numbers [height, width], found {list(self.resize)}")
        if isinstance(self.planes, Differences) and isinstance(self.normalise, Datawide):
            raise ValueError(
                "datawide statistics are of the file's power, not of differences; use normalise: {name: instance}"
            )
        _ = self.shape
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The recordings it looks at."""
        return ("spectrogram",)

    @property
    def any_length(self) -> bool:
        """Whether recordings of every length become images of one size."""
        return self.resize is not None or self.width is not None

    @property
    def shape(self) -> ImageShape:
        """The shape of its images; raises ValueError where planes and layout do not fit together."""
        power = torch.zeros(1, self.width or 1, 400)
        channels, height, width = self._image(self.planes.forward(power)).shape[1:]
        return ImageShape(channels, self.resize or ((height, width) if self.any_length else None))

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

    def _image(self, planes: Float[Tensor, "batch plane time freq"]) -> Float[Tensor, "batch channel height width"]:
        x = rearrange(planes, "batch plane time freq -> batch plane freq time")
        missing = 0 if self.width is None else self.width - x.shape[3]
        before = missing // 2 if missing > 0 else -(-missing // 2)  # a negative padding crops
        if missing or self.margin:
            x = functional.pad(x, (before, missing - before, self.margin, self.margin))
        return self.layout.forward(x).contiguous()


class InputPipeline(Component):
    """A fitted pipeline. ``to_dict`` and ``model_validate`` carry it to and from JSON, beside a checkpoint."""

    config: SpectrogramPipeline
    mean: float | None = None
    std: float | None = None
    count: int | None = None

    def inputs(self, recordings: Mapping[Kind, Tensor]) -> Float[Tensor, "batch channel height width"]:
        """Return :meth:`forward` of the spectrograms among recordings."""
        return self.forward(recordings["spectrogram"])

    def forward(self, log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch channel height width"]:
        """Return the images of recordings of equal length, float32, frequency by time, on the device of the input.

        ``log_power`` is natural-log power of any float type: -inf for power 0, NaN for missing values; frequencies in
        the order of the file (LL, RL, LP, RP x 100).
        """
        for _, x in self._transform(log_power):
            image = x
        return image

    def steps(self, log_power: Float[Tensor, "batch time 400"]) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the result of each step, from the power itself to the image of :meth:`forward`."""
        yield "power", log_power.float().exp()
        yield "log", log_power.float()
        yield from self._transform(log_power)

    def _transform(self, log_power: Tensor) -> Iterator[tuple[str, Tensor]]:
        config, low, high = self.config, self.config.clip_log.low, self.config.clip_log.high
        x = config.planes.forward(log_power.to(torch.float32))
        if not isinstance(config.planes, WholeFile):
            yield "planes", x
        if config.gap_fill == "floor":
            x = x.nan_to_num(nan=low, posinf=torch.inf, neginf=-torch.inf)
            yield "gap fill", x
        x = x.clamp(low, high)
        yield "clip", x
        x = self._each(x, lambda part: config.normalise.forward(part, self._moments()))
        yield "normalise", x
        if config.gap_fill == "mean":
            x = self._each(x, _fill_with_mean)
            yield "gap fill", x
        if config.scale != 1:
            x = x / config.scale
            yield "scale", x
        if config.limit is not None:
            x = x.clamp(-config.limit, config.limit)
            yield "limit", x
        x = config._image(x)
        if not isinstance(config.planes, WholeFile):
            yield "layout", x
        yield "resize" if config.resize else "image", self._resized(x)

    def _each(self, x: Float[Tensor, "batch plane time freq"], change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what a function of ``[recording, time, freq]`` makes of what is normalised together."""
        together = isinstance(self.config.planes, Differences)
        return change(x.flatten(1, 2) if together else x.flatten(0, 1)).view(x.shape)

    def _moments(self) -> Moments | None:
        if self.mean is None or self.std is None or self.count is None:
            return None
        return Moments(self.mean, self.std, self.count)

    def _resized(self, image: Tensor) -> Tensor:
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
