"""Chains: derivations that follow one another over the head, looked at as one plane."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def chain_means(
    planes_of: Callable[[Float[Tensor, "batch member time"]], Float[Tensor, "batch member freq frame"]],
    x: Float[Tensor, "batch derivation time"],
    chains: tuple[tuple[int, ...], ...],
) -> Float[Tensor, "batch chain freq frame"]:
    """Return each chain's mean of its derivations' planes; a derivation that is in no chain is not transformed.

    The mean is taken of the planes. The mean of the signals would be the chain's ends alone: the electrodes in between
    cancel (Deotte, "How to make spectrogram from EEG").
    """
    members = [derivation for chain in chains for derivation in chain]
    planes = planes_of(x[:, members])
    sizes = [len(chain) for chain in chains]
    return torch.stack([chain.mean(dim=1) for chain in torch.split(planes, sizes, dim=1)], dim=1)
