"""The input pipeline of EEG: from the microvolts of a 50 s window to the image a network sees.

Steps: fill gaps, clip, scale, filter the electrodes, take a montage's derivations, represent them in time and
frequency, lay the planes out as an image, normalise, resize. As with spectrograms one object serves training,
validation and later use of a model.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hms_search.component import Component, Field, model_validator
from hms_search.eeg.denoise import denoised
from hms_search.eeg.filters import Filter, Sections, apply_filter
from hms_search.eeg.gaps import GapFill, clip_uv, fill_gaps
from hms_search.eeg.histogram import Moments
from hms_search.eeg.layout import Layout, Stack
from hms_search.eeg.mel import ChainMel
from hms_search.eeg.montage import Bipolar, Montage, derive
from hms_search.eeg.normalise import Datawide, Normalise, Unnormalised
from hms_search.eeg.shapes import ImageShape, Kind
from hms_search.eeg.spectrogram import Representation

_N_TIMES = 10_000
"""Samples of a 50 s window at 200 Hz."""
_N_DIMS = 3
"""Of microvolts [batch, time, 20]; baked images have one more."""


class EegPipeline(Component):
    """How microvolts become the network's input; see :meth:`fit`.

    Attributes
    ----------
    gap_fill
        What takes a missing sample's place: ``mean`` of its electrode, ``zero``, or ``interpolate``.
    clip_uv, scale_uv
        Largest magnitude in microvolts, or null; and what the signal is divided by (the field: 1024 and 32).
    filters
        Applied to the electrodes, one after the other.
    montage, denoise
        Which differences of electrodes, and whether their small wavelet coefficients are set to 0.
    representation, layout
        Their time-frequency planes, and how the planes make an image.
    normalise, resize, antialias
        As for spectrograms, over the whole image of a recording.
    """

    source: Literal["eeg"] = "eeg"
    gap_fill: GapFill = "mean"
    clip_uv: float | None = Field(None, gt=0)
    scale_uv: float = Field(1.0, gt=0)
    filters: tuple[Filter, ...] = ()
    montage: Montage = Bipolar(name="deotte")
    denoise: Literal["none", "db8"] = "none"
    representation: Representation = ChainMel()
    layout: Layout = Stack()
    normalise: Normalise = Unnormalised()
    resize: tuple[int, int] | None = None
    antialias: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> "EegPipeline":
        if self.resize is not None and min(self.resize) < 1:
            raise ValueError(f"resize must be two positive numbers [height, width], found {list(self.resize)}")
        _ = self.shape
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The recordings it looks at."""
        return ("eeg",)

    @property
    def any_length(self) -> bool:
        """Whether all recordings become images of one size: windows of EEG are of one length."""
        return True

    @property
    def shape(self) -> ImageShape:
        """The shape of its images; raises ValueError where montage, representation and layout do not fit together."""
        channels, height, width = _planes_of_silence(self.montage, self.representation, self.layout).shape[1:]
        return ImageShape(channels, self.resize or (height, width))

    def represented(self) -> "EegPipeline":
        """Return the pipeline up to the normalisation: what is the same for every normalisation and size."""
        return self.model_copy(update={"normalise": Unnormalised(), "resize": None, "antialias": True})

    def fit(self, sections: Sequence[Sections], moments: Moments | None = None) -> "FittedEegPipeline":
        """Return the pipeline with its filters' coefficients and, for ``datawide``, the statistics of training rows.

        ``sections`` are those of :func:`hms_search.eeg.filter_design.sections_of`, one of each filter; ``moments`` are
        of the images of the *training* rows before normalising, as :meth:`FittedEegPipeline.unnormalised` makes them.
        """
        statistics = {} if moments is None else {"mean": moments.mean, "std": moments.std, "count": moments.count}
        return FittedEegPipeline(config=self, sections=tuple(sections), **statistics)


class FittedEegPipeline(Component):
    """A fitted pipeline. ``to_dict`` and ``model_validate`` carry it to and from JSON, beside a checkpoint."""

    config: EegPipeline
    sections: tuple[Sections, ...]
    mean: float | None = None
    std: float | None = None
    count: int | None = None

    def inputs(self, recordings: Mapping[Kind, Tensor]) -> Float[Tensor, "batch channel height width"]:
        """Return the images of the EEG among recordings: :meth:`forward`, or the last steps for baked images."""
        eeg = recordings["eeg"]
        return self.forward(eeg) if eeg.ndim == _N_DIMS else self._resized(self._normalised(eeg.float()))

    def forward(self, eeg: Float[Tensor, "batch time 20"]) -> Float[Tensor, "batch channel height width"]:
        """Return the images of recordings, float32, on the device of the input.

        ``eeg`` is microvolts of any float type in the electrodes' file order, 200 Hz, NaN where missing.
        """
        for _, x in self._transform(eeg):
            image = x
        return image

    def unnormalised(self, recordings: Mapping[Kind, Tensor]) -> Float[Tensor, "batch channel height width"]:
        """Return the images of the EEG among recordings as they are before normalising."""
        eeg = recordings["eeg"]
        if eeg.ndim != _N_DIMS:
            return eeg.float()
        return next(x for name, x in self._transform(eeg) if name == "layout")

    def steps(self, eeg: Float[Tensor, "batch time 20"]) -> Iterator[tuple[str, Tensor]]:
        """Yield the name and the result of each step, from the microvolts to the image of :meth:`forward`."""
        yield "microvolts", eeg.float()
        yield from self._transform(eeg)

    def _transform(self, eeg: Tensor) -> Iterator[tuple[str, Tensor]]:
        config = self.config
        x = fill_gaps(eeg, config.gap_fill)
        yield "gap fill", x
        if config.clip_uv is not None:
            x = clip_uv(x, config.clip_uv)
            yield "clip", x
        if config.scale_uv != 1:
            x = x / config.scale_uv
            yield "scale", x
        for wanted, sections in zip(config.filters, self.sections, strict=True):
            signals = apply_filter(rearrange(x, "batch time electrode -> batch electrode time"), sections, wanted.phase)
            x = rearrange(signals, "batch electrode time -> batch time electrode")
            yield wanted.name, x
        derivations = derive(x, config.montage.matrix().to(x.device))
        yield "montage", derivations
        if config.denoise == "db8":
            derivations = denoised(derivations)
            yield "denoise", derivations
        planes = config.representation.forward(derivations, config.montage.chains)
        yield "representation", planes
        image = config.layout.forward(planes)
        yield "layout", image
        image = self._normalised(image)
        yield "normalise", image
        yield "resize" if config.resize else "image", self._resized(image)

    def _normalised(self, image: Tensor) -> Tensor:
        if isinstance(self.config.normalise, Unnormalised):
            return image
        flat = rearrange(image, "batch channel height width -> batch (channel height) width")
        normal = self.config.normalise.forward(flat, self._moments())
        return rearrange(normal, "batch (channel height) width -> batch channel height width", channel=image.shape[1])

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


def needs_moments(pipeline: EegPipeline) -> bool:
    """Return whether a pipeline must see the images of its training rows before it can run."""
    return isinstance(pipeline.normalise, Datawide)


@lru_cache(maxsize=256)
def _planes_of_silence(montage: Montage, representation: Representation, layout: Layout) -> Tensor:
    """Return the image of a silent window; raises ValueError where the three do not fit together."""
    silence = torch.zeros(1, len(montage.derivations), _N_TIMES)
    return layout.forward(representation.forward(silence, montage.chains))
