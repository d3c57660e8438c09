"""From the FFT samples of a seizure to the image a network sees: statistics over the samples, as planes."""

from collections.abc import Mapping
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.normalise import Instance, Robust, Unnormalised
from hms_search.eeg.shapes import ImageShape, Kind

Statistic = Literal["mean", "std", "min", "max", "p10", "p25", "p50", "p75", "p90"]
"""A statistic over a file's samples: mean, population standard deviation, the ends, or a percentile."""

_LEVELS = {"min": 0.0, "p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "max": 1.0}


class FftPipeline(Component):
    """How the samples of a file, log10 magnitudes ``[samples, 20, 24]``, become one image.

    Attributes
    ----------
    statistics
        A plane each, over the samples. In the hackathon, quartiles beside the mean gained a point of F1; minimum,
        maximum, standard deviation and the 10th, 50th and 90th percentile lost some.
    normalise
        Of the planes together; the write-up names none. ``datawide`` is not offered: the first batch normalisation
        learns as much.
    """

    source: Literal["fft_image"] = "fft_image"
    statistics: tuple[Statistic, ...] = Field(("mean", "p25", "p75"), min_length=1)
    normalise: Instance | Robust | Unnormalised = Field(Unnormalised(), discriminator="name")

    @model_validator(mode="after")
    def _names_a_statistic_once(self) -> "FftPipeline":
        twice = sorted({name for name in self.statistics if self.statistics.count(name) > 1})
        if twice:
            raise ValueError(f"statistics: each once, found {', '.join(twice)} again; remove all but one")
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The recordings it looks at."""
        return ("fft",)

    @property
    def any_length(self) -> bool:
        """Whether recordings of every length become images of one size: they do."""
        return True

    @property
    def shape(self) -> ImageShape:
        """The shape of its images: a plane per statistic, derivations by frequencies."""
        return ImageShape(len(self.statistics), (20, 24))


class FittedFftPipeline(Component):
    """The pipeline as it runs; nothing of it is fitted."""

    config: FftPipeline

    def inputs(self, recordings: Mapping[Kind, Tensor]) -> Float[Tensor, "batch plane 20 24"]:
        """Return the images of the FFT samples among recordings."""
        return self.forward(recordings["fft"])

    def forward(self, samples: Float[Tensor, "batch sample 20 24"]) -> Float[Tensor, "batch plane 20 24"]:
        """Return the images of files of one length, float32; percentiles are interpolated as NumPy does."""
        ranked = samples.float().sort(dim=1).values
        planes = torch.stack([_statistic(ranked, name) for name in self.config.statistics], dim=1)
        flat = rearrange(planes, "batch plane derivation freq -> batch (plane derivation) freq")
        normal = self.config.normalise.forward(flat, None)
        return rearrange(normal, "batch (plane derivation) freq -> batch plane derivation freq", derivation=20)


def _statistic(ranked: Float[Tensor, "batch sample 20 24"], name: Statistic) -> Float[Tensor, "batch 20 24"]:
    if name == "mean":
        return ranked.mean(dim=1)
    if name == "std":
        return ranked.std(dim=1, correction=0)
    last = ranked.shape[1] - 1
    rank = _LEVELS[name] * last
    below = int(rank)
    return torch.lerp(ranked[:, below], ranked[:, min(below + 1, last)], rank - below)
