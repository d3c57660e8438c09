"""The last planes of a network that still have places: found while it runs, and weighed for one class."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.errors import ConfigError


class Recorder:
    """What the modules of a network return while it runs, each list in the order in which they finish."""

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._outputs: list[tuple[nn.Module, Tensor]] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record while the context lasts."""
        handles = [module.register_forward_hook(self._keep) for module in self._root.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @property
    def planes(self) -> Tensor:
        """The last output of more than one place that is of a convolution, after what keeps its shape.

        So a residual block's sum and activation count, as in the published examples; pooling and what follows do not.
        Raises ConfigError where no convolution has more than one place.
        """
        convolved = [x for module, x in self._outputs if isinstance(module, nn.Conv1d | nn.Conv2d)]
        shapes = [x.shape for x in convolved if x.shape[2:].numel() > 1]
        if not shapes:
            raise ConfigError(
                f"Grad-CAM needs a convolution over more than one place, {type(self._root).__name__} has none; "
                "explain another member"
            )
        return next(x for module, x in reversed(self._outputs) if x.shape == shapes[-1])

    def _keep(self, module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            self._outputs.append((module, output))


def activation_maps(score: Float[Tensor, ""], planes: Sequence[Tensor]) -> list[Tensor]:
    """Return the Grad-CAM of each part of a network, ``[batch, channel, *places] -> [batch, *places]``.

    ReLU(sum_k a_k A_k), where a_k is the mean over the places of the score's gradient by plane A_k (Selvaraju et al.,
    https://arxiv.org/abs/1610.02391). The score is of one input: several rows of a batch are parts of it.
    """
    slopes = torch.autograd.grad(score, list(planes))
    return [_weighed(part.detach(), slope) for part, slope in zip(planes, slopes, strict=True)]


def scaled(places: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return a map divided by its largest value; one of zeros stays so."""
    largest = places.max()
    return places / largest if largest > 0 else places


def _weighed(
    planes: Float[Tensor, "batch channel ..."], slopes: Float[Tensor, "batch channel ..."]
) -> Float[Tensor, "batch ..."]:
    weights = slopes.flatten(2).mean(dim=2)
    return torch.einsum("bc,bc...->b...", weights, planes).relu()
