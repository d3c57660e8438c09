"""Masking: parts of an image become 0, which is the mean after an instance or a data-wide normalisation.

Lengths are in pixels of the image that the network sees, after resize; height is frequency, width is time.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool
from torch import Tensor

from hms_search.augment.batch import Change, Images, OfImages
from hms_search.augment.draws import Probability, acting, integers, some_of, spans
from hms_search.component import Field, model_validator


class XYMasking(OfImages):
    """Vertical stripes (``x``, of time) and horizontal ones (``y``, of frequency) become 0.

    The PyTorch ports of Deotte's starter have three, each with p 0.3 (Albumentations' XYMasking): one stripe of time of
    0-20 pixels; one of frequency of 0-20; and the defaults, 2-4 of time of 10-20 with 5 of frequency of 8.
    """

    name: Literal["xy_masking"] = "xy_masking"
    p: Probability = 0.3
    min_x_masks: int = Field(2, ge=0)
    max_x_masks: int = Field(4, ge=0)
    min_x_px: int = Field(10, ge=0)
    max_x_px: int = Field(20, ge=0)
    min_y_masks: int = Field(5, ge=0)
    max_y_masks: int = Field(5, ge=0)
    min_y_px: int = Field(8, ge=0)
    max_y_px: int = Field(8, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> "XYMasking":
        for what in ("x_masks", "x_px", "y_masks", "y_px"):
            low, high = getattr(self, f"min_{what}"), getattr(self, f"max_{what}")
            if low > high:
                raise ValueError(f"min_{what} must not be above max_{what}, found {low} and {high}")
        return self

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with stripes of some images at 0."""
        rows = acting(self.p, len(batch), generator)
        height, width = batch.x.shape[2:]
        times = _stripes(
            width, (self.min_x_masks, self.max_x_masks), (self.min_x_px, self.max_x_px), len(rows), generator
        )
        frequencies = _stripes(
            height, (self.min_y_masks, self.max_y_masks), (self.min_y_px, self.max_y_px), len(rows), generator
        )
        return batch.changed(rows, _emptied(frequencies[:, :, None] | times[:, None, :]))


class CoarseDropout(OfImages):
    """1 to ``max_holes`` rectangles, each side of 1 to ``max_px`` pixels, become 0 (Albumentations' CoarseDropout).

    15th place, p 0.5, 10 and 10, on the 10-minute spectrogram of 300 x 100. The holes go through all channels.
    """

    name: Literal["coarse_dropout"] = "coarse_dropout"
    p: Probability = 0.5
    max_holes: int = Field(10, ge=1)
    max_px: int = Field(10, ge=1)

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with holes in some images."""
        rows = acting(self.p, len(batch), generator)
        height, width = batch.x.shape[2:]
        shape = (len(rows), self.max_holes)
        exists = torch.arange(self.max_holes, device=generator.device) < integers(
            1, self.max_holes, (len(rows), 1), generator
        )
        high = spans(height, integers(1, self.max_px, shape, generator) * exists, generator)
        wide = spans(width, integers(1, self.max_px, shape, generator), generator)

        def holed(x: Tensor) -> Tensor:
            holes = high.to(x.device, torch.float32).mT @ wide.to(x.device, torch.float32)  # how many cover a pixel
            return x.masked_fill(rearrange(holes > 0, "batch height width -> batch 1 height width"), 0)

        return batch.changed(rows, holed)


class FrequencyDropout(OfImages):
    """0 to ``max_bins`` rows of the image, single frequencies, become 0.

    15th place, p 0.5, 0 to 4 bins of the 10-minute spectrogram. Its code reverses time whenever it acts; that is an
    augmentation of its own here, :class:`hms_search.augment.time_axis.TimeReversal`.
    """

    name: Literal["frequency_dropout"] = "frequency_dropout"
    p: Probability = 0.5
    max_bins: int = Field(4, ge=1)

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with frequencies of some images at 0."""
        rows = acting(self.p, len(batch), generator)
        dropped = some_of(batch.x.shape[2], 0, self.max_bins, len(rows), generator)
        return batch.changed(rows, _emptied(dropped[:, :, None]))


def _stripes(
    size: int, masks: tuple[int, int], lengths: tuple[int, int], n: int, generator: torch.Generator
) -> Bool[Tensor, "n size"]:
    """Return which of ``size`` lines are in one of a random number of stripes of random lengths."""
    exists = torch.arange(masks[1], device=generator.device) < integers(*masks, (n, 1), generator)
    return spans(size, integers(*lengths, (n, masks[1]), generator) * exists, generator).any(dim=1)


def _emptied(mask: Bool[Tensor, "batch height width"]) -> Change:
    """Return the function that sets the masked pixels of all channels to 0."""
    return lambda x: x.masked_fill(mask.to(x.device)[:, None], 0)
