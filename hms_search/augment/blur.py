"""Blur: fine structure of an image is lost."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from hms_search.augment.batch import Images, OfImages
from hms_search.augment.draws import Probability, acting, integers


class Blur(OfImages):
    """Each pixel becomes a median or a mean of its neighbourhood, in every channel alike.

    ``median``: of the 3 x 3 pixels about it. ``motion``: the mean of three in a row, in one of four directions drawn
    for each sample. ``either``: one of the two with equal probability.

    15th place, p 0.3, ``either``, on the 10-minute spectrogram of 300 x 100. Its motion blur (Albumentations') draws
    any line within the 3 x 3 pixels, which may also move the image by a pixel; here the line goes through the middle.
    """

    name: Literal["blur"] = "blur"
    p: Probability = 0.3
    kind: Literal["median", "motion", "either"] = "either"

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with some images blurred."""
        rows = acting(self.p, len(batch), generator)
        median = torch.rand(len(rows), generator=generator, device=generator.device) < _SHARE_OF_MEDIANS[self.kind]
        direction = integers(0, len(_LINES) - 1, (len(rows),), generator)

        def blurred(x: Tensor) -> Tensor:
            padded = functional.pad(x.float(), (1, 1, 1, 1), mode="replicate")
            means, by_median = _mean_of_three(padded, direction.to(x.device)), median.to(x.device)
            means[by_median] = _median_of_nine(padded[by_median])
            return means

        return batch.changed(rows, blurred)


_SHARE_OF_MEDIANS = {"median": 1.0, "motion": 0.0, "either": 0.5}
_LINES = torch.stack([torch.eye(3), torch.eye(3).flip(0), torch.eye(3)[[1, 1, 1]], torch.eye(3)[[1, 1, 1]].T])
"""The three pixels of a line through the middle of nine: the diagonals, upright, level."""


def _mean_of_three(
    padded: Float[Tensor, "batch channel height2 width2"], direction: Int[Tensor, " batch"]
) -> Float[Tensor, "batch channel height width"]:
    kernels = (_LINES.to(padded.device) / 3)[direction].repeat_interleave(padded.shape[1], dim=0)
    planes = rearrange(padded, "batch channel height width -> 1 (batch channel) height width")
    means = functional.conv2d(planes, rearrange(kernels, "plane y x -> plane 1 y x"), groups=len(kernels))
    return rearrange(means, "1 (batch channel) height width -> batch channel height width", channel=padded.shape[1])


def _median_of_nine(
    padded: Float[Tensor, "batch channel height2 width2"],
) -> Float[Tensor, "batch channel height width"]:
    """Return the medians by minima and maxima alone: a sort of nine takes several times as long.

    Of three columns, each in order: the median is that of the largest low, the middle one of the middles and the
    smallest high (Paeth, Graphics Gems 1990).
    """
    low, middle, high = _in_order(padded[..., :-2, :], padded[..., 1:-1, :], padded[..., 2:, :])
    largest_low = _in_order(low[..., :-2], low[..., 1:-1], low[..., 2:])[2]
    middle_one = _in_order(middle[..., :-2], middle[..., 1:-1], middle[..., 2:])[1]
    smallest_high = _in_order(high[..., :-2], high[..., 1:-1], high[..., 2:])[0]
    return _in_order(largest_low, middle_one, smallest_high)[1]


def _in_order(one: Tensor, two: Tensor, three: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lower, upper = torch.minimum(one, two), torch.maximum(one, two)
    return (
        torch.minimum(lower, three),
        torch.maximum(lower, torch.minimum(upper, three)),
        torch.maximum(upper, three),
    )
