"""What of a ten-minute spectrogram is looked at as one plane: the file, its four regions, or also their differences."""

from itertools import combinations
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.component import Component, Field
from hms_search.eeg.electrodes import REGIONS

Region = Literal["LL", "RL", "LP", "RP"]


class WholeFile(Component):
    """One plane: the regions LL, RL, LP, RP below one another, as the baseline notebook stacks them."""

    name: Literal["file"] = "file"

    def forward(self, log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch 1 time 400"]:
        """Return the recordings as one plane each."""
        return rearrange(log_power, "batch time freq -> batch 1 time freq")


class Regions(Component):
    """Four planes of 100 frequencies, each normalised by itself (Deotte's "EfficientNetB2 Starter").

    Attributes
    ----------
    order
        Which plane comes first; Radboud's own spectrograms are LL, LP, RP, RL.
    """

    name: Literal["regions"] = "regions"
    order: tuple[Region, Region, Region, Region] = ("LL", "RL", "LP", "RP")

    def forward(self, log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch 4 time 100"]:
        """Return the regions in ``order``."""
        return _regions(log_power, self.order)


class Differences(Component):
    """Ten planes, normalised together: the regions LL, RL, RP, LP and what each has more than a later one (15th place).

    Power is subtracted, not its logarithm; where there is less, the power is 0.
    """

    name: Literal["differences"] = "differences"

    def forward(self, log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch 10 time 100"]:
        """Return the regions and their six differences LL - RL, LL - RP, ... RP - LP as log power."""
        regions = _regions(log_power, ("LL", "RL", "RP", "LP"))
        power = regions.exp()
        pairs = [power[:, i] - power[:, j] for i, j in combinations(range(len(REGIONS)), 2)]
        differences = torch.stack(pairs, dim=1).clamp_(min=0).log_()  # clamp leaves NaN as it is
        return torch.cat([regions, differences], dim=1)


Planes = Annotated[WholeFile | Regions | Differences, Field(discriminator="name")]
"""Every way to cut a spectrogram into planes; a new one is a class here and its place in this union."""


def _regions(
    log_power: Float[Tensor, "batch time 400"], order: tuple[Region, ...]
) -> Float[Tensor, "batch 4 time 100"]:
    regions = rearrange(log_power, "batch time (region freq) -> batch region time freq", region=len(REGIONS))
    return regions if order == REGIONS else regions[:, [REGIONS.index(region) for region in order]]
