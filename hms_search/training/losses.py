"""The loss: the Kullback-Leibler divergence that the competition scores, votes first."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hms_search.models.heads import Heads


def kl_divergence(
    logits: Float[Tensor, "batch classes"], target: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Return each row's KL(p || q) = sum over classes of p ln(p / q), with q the softmax of the logits, in nats.

    A class with p = 0 contributes 0. The mean over rows is PyTorch's ``kl_div(..., reduction="batchmean")``; the mean
    over rows *and* classes, ``reduction="mean"``, would be six times too small. Computed in float32 at least.

    >>> kl_divergence(torch.zeros(1, 6), torch.eye(6)[:1])
    tensor([1.7918])
    """
    log_q = functional.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
    return (torch.xlogy(target, target) - target * log_q).sum(dim=1)


def divergence(
    output: Float[Tensor, "batch classes"] | Heads, target: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Return each row's KL; of a network with several heads, the weighted sum of theirs."""
    if isinstance(output, Tensor):
        return kl_divergence(output, target)
    logits = (output.main, *output.auxiliary)
    weighted = [weight * kl_divergence(one, target) for weight, one in zip(output.weights, logits, strict=True)]
    return torch.stack(weighted).sum(dim=0)
