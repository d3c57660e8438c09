"""What a network with several heads returns while it is trained."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Heads(NamedTuple):
    """Logits of the main head and of the auxiliary ones, and the weight of each one's loss, the main head's first."""

    main: Float[Tensor, "batch classes"]
    auxiliary: tuple[Float[Tensor, "batch classes"], ...]
    weights: tuple[float, ...]
