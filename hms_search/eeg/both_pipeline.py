"""The input pipeline of EEG and spectrogram together: one image of both, or one of each for a network of branches."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hms_search.component import Component, model_validator
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.layout import Channels
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.shapes import ImageShape, InputShape, Kind
from hms_search.eeg.spectrogram_planes import Regions


class BothPipeline(Component):
    """How a window's EEG and ten-minute spectrogram become the network's input.

    Attributes
    ----------
    eeg, spectrogram
        Their pipelines.
    join
        ``beside``: the spectrogram's image on the left, the EEG's on the right (Deotte's 512 x 512). ``below``: the EEG
        below the spectrogram. ``channels``: the spectrogram's channels, then the EEG's. ``apart``: an image of each,
        for a network with a branch for each.
    resize, antialias
        As for one source, of the joined image.
    """

    source: Literal["both"] = "both"
    eeg: EegPipeline = EegPipeline()
    spectrogram: SpectrogramPipeline = SpectrogramPipeline(planes=Regions(), layout=Channels(), width=300, resize=None)
    join: Literal["beside", "below", "channels", "apart"] = "apart"
    resize: tuple[int, int] | None = None
    antialias: bool = True

    @model_validator(mode="after")
    def _fits_together(self) -> "BothPipeline":
        if self.resize is not None and (min(self.resize) < 1 or self.join == "apart"):
            raise ValueError(
                f"resize is of the joined image: expected two positive numbers [height, width] and a join, found "
                f"{list(self.resize)} with join {self.join}"
            )
        _ = self.shape
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The recordings it looks at."""
        return ("eeg", "spectrogram")

    @property
    def any_length(self) -> bool:
        """Whether recordings of every length become images of one size."""
        return self.spectrogram.any_length or self.resize is not None

    @property
    def shape(self) -> InputShape:
        """The shape of its images; raises ValueError where the two cannot be joined."""
        shapes: dict[Kind, ImageShape] = {"eeg": self.eeg.shape, "spectrogram": self.spectrogram.shape}
        if self.join == "apart":
            return shapes
        images = {kind: torch.zeros(1, shape.channels, *(shape.size or (1, 1))) for kind, shape in shapes.items()}
        if shapes["spectrogram"].size is None:
            raise ValueError(f"join {self.join} needs spectrograms of one size, set spectrogram.width or its resize")
        channels, height, width = _joined(images, self.join).shape[1:]
        return ImageShape(channels, self.resize or (height, width))


class FittedBothPipeline(Component):
    """A fitted pipeline. ``to_dict`` and ``model_validate`` carry it to and from JSON, beside a checkpoint."""

    config: BothPipeline
    eeg: FittedEegPipeline
    spectrogram: InputPipeline

    def inputs(
        self, recordings: Mapping[Kind, Tensor]
    ) -> Float[Tensor, "batch channel height width"] | dict[Kind, Tensor]:
        """Return the joined image, or one of each kind, float32, on the device of the input."""
        images: dict[Kind, Tensor] = {
            "eeg": self.eeg.inputs(recordings),
            "spectrogram": self.spectrogram.inputs(recordings),
        }
        if self.config.join == "apart":
            return images
        image = _joined(images, self.config.join)
        if self.config.resize is None:
            return image
        return functional.interpolate(
            image, size=self.config.resize, mode="bilinear", align_corners=False, antialias=self.config.antialias
        )


_ALONG = {"channels": 1, "below": 2, "beside": 3}


def _joined(images: Mapping[Kind, Tensor], join: str) -> Float[Tensor, "batch channel height width"]:
    left, right = images["spectrogram"], images["eeg"]
    along = _ALONG[join]
    if any(left.shape[i] != right.shape[i] for i in _ALONG.values() if i != along):
        sizes = [" x ".join(map(str, image.shape[1:])) for image in (left, right)]
        raise ValueError(
            f"join {join} needs images of one size but where they meet (channel x height x width), found "
            f"{sizes[0]} of the spectrogram and {sizes[1]} of the EEG: resize one, or change its layout"
        )
    return torch.cat([left, right], dim=along)
