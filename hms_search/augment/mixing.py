"""Mixing: two samples of a batch become one, and so do their targets and weights.

Each mixed sample keeps its place and takes from another sample of the batch as that was before. A batch of one has no
other and stays as it is.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from hms_search.augment.batch import Images, OfImages, Recordings, each
from hms_search.augment.draws import Probability, acting, beta, partners_of
from hms_search.component import Component, Field


class CropCat(Component):
    """Stretches of time are replaced by those of another recording; target and weight become the average of the two.

    15th place, after Kim, Lee & Choi 2022 (arXiv 2212.06413): with ``quarters`` (0.8) the second and the fourth quarter
    of time, else the second half; in sync on EEG and 10-minute spectrogram. There the first 2 of each batch of 16 are
    mixed, hence p 0.125, and the stretches are drawn once per batch, here per sample.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg", "log_power")
    name: Literal["crop_cat"] = "crop_cat"
    p: Probability = 0.125
    quarters: Probability = 0.8

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings put together from two."""
        if len(batch) == 1:
            return batch
        rows = acting(self.p, len(batch), generator)
        partners = partners_of(rows, len(batch), generator)
        in_quarters = torch.rand(len(rows), generator=generator, device=generator.device) < self.quarters

        def exchange(own: Tensor, other: Tensor) -> Tensor:
            quarter = torch.arange(own.shape[1], device=own.device) * 4 // own.shape[1]
            taken = torch.where(in_quarters.to(own.device)[:, None], quarter % 2 == 1, quarter >= 2)
            return torch.where(taken[..., None], other, own)

        def average(own: Tensor, other: Tensor) -> Tensor:
            return own.lerp(other, 0.5)

        return batch.mixed(rows, partners, eeg=exchange, log_power=exchange, labels=average)


class Mixup(OfImages):
    """s x + (1 - s) x' with the image, target and weight of another sample, s from Beta(alpha, alpha) for each sample.

    Zhang et al. 2018, alpha 2 as awsaf49's KerasCV starter; the 3rd place has it for spectrograms, alpha 1, off.
    """

    name: Literal["mixup"] = "mixup"
    p: Probability = 1.0
    alpha: float = Field(2.0, gt=0)

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with some images mixed."""
        if len(batch) == 1:
            return batch
        rows = acting(self.p, len(batch), generator)
        partners = partners_of(rows, len(batch), generator)
        share = beta(self.alpha, len(rows), generator)

        def mix(own: Tensor, other: Tensor) -> Tensor:
            return _weighted(own, other, share)

        return batch.mixed(rows, partners, x=mix, labels=mix)


class EegMixup(Component):
    """Mixup of the recordings: s x + (1 - s) x' of the EEG, and of the power (not its log) of the spectrogram.

    4th place (tattaka), p 0.5, alpha 0.2, on EEG. Where either EEG is missing (NaN), so is the mixture.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg", "log_power")
    name: Literal["eeg_mixup"] = "eeg_mixup"
    p: Probability = 0.5
    alpha: float = Field(0.2, gt=0)

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some recordings mixed."""
        if len(batch) == 1:
            return batch
        rows = acting(self.p, len(batch), generator)
        partners = partners_of(rows, len(batch), generator)
        share = beta(self.alpha, len(rows), generator)

        def mix(own: Tensor, other: Tensor) -> Tensor:
            return _weighted(own, other, share)

        def mix_power(own: Tensor, other: Tensor) -> Tensor:
            inside = each(share, own).clamp(_SMALLEST_SHARE, 1 - _SMALLEST_SHARE)  # log 0 - log 0 would be NaN
            return torch.logaddexp(own.float() + inside.log(), other.float() + (1 - inside).log())

        return batch.mixed(rows, partners, eeg=mix, log_power=mix_power, labels=mix)


_SMALLEST_SHARE = 1e-6


def _weighted(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return other.float().lerp(own.float(), each(share, own))
