"""Channels: electrodes, or the images of derivations, that are missing."""

from typing import ClassVar, Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from hms_search.augment.batch import Images, OfImages, Recordings
from hms_search.augment.draws import Probability, acting, some_of
from hms_search.augment.reference import common_part
from hms_search.component import Component, Field
from hms_search.eeg.electrodes import ELECTRODES, SCALP


class ElectrodeDrop(Component):
    """One to ``most`` of the 19 scalp electrodes have no signal of their own, only what all have in common.

    The 3rd place drops derivations, see :class:`PlaneDrop`, 1 to 8 of 16 with p 0.5. An electrode belongs to two of
    them or more, so half as many here; the number is ours, and so is the common part in the place of 0 microvolts.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["electrode_drop"] = "electrode_drop"
    p: Probability = 0.5
    most: int = Field(4, ge=1, le=len(SCALP))

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with electrodes dropped in some recordings."""
        rows = acting(self.p, len(batch), generator)
        dropped = some_of(len(SCALP), 1, self.most, len(rows), generator)
        dropped = functional.pad(dropped, (0, len(ELECTRODES) - len(SCALP)))
        return batch.changed(
            rows, eeg=lambda x: torch.where(dropped.to(x.device)[:, None], common_part(x).to(x.dtype), x)
        )


class PlaneDrop(OfImages):
    """One to ``most`` planes of the image, each of one derivation, chain or region, become 0.

    3rd place, p 0.5 (0.7 in some of its models), 1 to 8 of 16. Planes are the image's channels times ``stacked``: how
    many equally high planes lie above one another in each channel, so 16 for one image of 16 derivations.
    """

    name: Literal["plane_drop"] = "plane_drop"
    p: Probability = 0.5
    most: int = Field(8, ge=1)
    stacked: int = Field(1, ge=1)

    def forward(self, batch: Images, generator: torch.Generator) -> Images:
        """Return the batch with planes missing in some images; raises ValueError where planes are not equally high."""
        n_channels, height = batch.x.shape[1:3]
        if height % self.stacked:
            raise ValueError(
                f"plane_drop.stacked must divide the image's height {height}, found {self.stacked}: "
                "write how many planes of equal height lie above one another"
            )
        rows = acting(self.p, len(batch), generator)
        dropped = some_of(n_channels * self.stacked, 1, self.most, len(rows), generator)

        def without(x: Tensor) -> Tensor:
            pattern = "batch channel (plane freq) time -> batch (channel plane) freq time"
            planes = rearrange(x, pattern, plane=self.stacked)
            return planes.masked_fill(dropped.to(x.device)[..., None, None], 0).reshape(x.shape)

        return batch.changed(rows, without)
