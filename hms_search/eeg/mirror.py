"""The mirror image of a head: left and right exchanged."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from hms_search.eeg.montage import mirrored_electrodes


def mirrored_eeg(eeg: Float[Tensor, "batch time 20"]) -> Float[Tensor, "batch time 20"]:
    """Return recordings with the electrodes of left and right exchanged; midline and EKG as they were."""
    order = torch.tensor(mirrored_electrodes("left_right"), device=eeg.device)
    return eeg.index_select(2, order)


def mirrored(log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch time 400"]:
    """Return recordings with left and right exchanged: LL with RL and LP with RP, frequencies as they were.

    Columns are LL, RL, LP, RP x 100 frequencies, in the order of the file. Mirroring twice is the identity.
    """
    sides = rearrange(log_power, "batch time (chain side freq) -> batch time chain side freq", chain=2, side=2)
    return rearrange(sides.flip(3), "batch time chain side freq -> batch time (chain side freq)")
