"""What sets a derivation apart from the others: differences of their planes."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor


def with_contrasts(
    planes: Float[Tensor, "batch derivation freq frame"], chains: tuple[tuple[int, ...], ...]
) -> Float[Tensor, "batch plane freq frame"]:
    """Return the planes, then each less the mean of all others, then each less the mean of its neighbours (3rd place).

    A neighbour comes before or after in a chain; a derivation without any keeps its values. The 3rd place also takes
    the parasagittal chain's end as a neighbour of the lateral chain's where they share an electrode.
    """
    matrix = contrast_matrix(planes.shape[1], chains).to(planes.device)
    return torch.einsum("pd,bdft->bpft", matrix, planes)


def contrast_matrix(n_derivations: int, chains: tuple[tuple[int, ...], ...]) -> Float[Tensor, "plane derivation"]:
    """Return the weights of the derivations in the three groups of planes: themselves, others, neighbours."""
    themselves = torch.eye(n_derivations)
    others = (1 - themselves) / max(1, n_derivations - 1)
    neighbours = torch.zeros(n_derivations, n_derivations)
    for chain in chains:
        for one, next_one in pairwise(chain):
            neighbours[one, next_one] = neighbours[next_one, one] = 1
    neighbours /= neighbours.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.cat([themselves, themselves - others, themselves - neighbours])
