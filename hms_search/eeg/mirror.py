"""The mirror image of a head: left and right exchanged."""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def mirrored(log_power: Float[Tensor, "batch time 400"]) -> Float[Tensor, "batch time 400"]:
    """Return recordings with left and right exchanged: LL with RL and LP with RP, frequencies as they were.

    Columns are LL, RL, LP, RP x 100 frequencies, in the order of the file. Mirroring twice is the identity.
    """
    sides = rearrange(log_power, "batch time (chain side freq) -> batch time chain side freq", chain=2, side=2)
    return rearrange(sides.flip(3), "batch time chain side freq -> batch time (chain side freq)")
