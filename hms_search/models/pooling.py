"""How the last feature maps of a timm network become one vector: ``head`` pooling."""

from typing import Annotated, Any, Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.errors import ConfigError

_EPS = 1e-6
"""Floor of a feature before it is raised to a power (3rd place's GeM)."""


class Average(Component):
    """The mean over all positions: timm's own pooling, whatever that is for the network."""

    name: Literal["average"] = "average"


class Gem(Component):
    """The generalised mean over all positions, ``mean(max(x, 1e-6)^p)^(1/p)``: between the mean and the maximum.

    Radenović et al., https://arxiv.org/abs/1711.02512; in the 98th place's networks, and in the 3rd's, where ``p``
    is trained from 3.

    Attributes
    ----------
    p
        The power: 1 is the mean of what is positive, infinity the maximum.
    trainable
        Whether the power is trained.
    """

    name: Literal["gem"] = "gem"
    p: float = Field(3.0, ge=1)
    trainable: bool = True


class Attention(Component):
    """A mean over all positions with weights that the network gives them; see :class:`AttentionScores`.

    Attributes
    ----------
    hidden
        Width of the layer that the weights come from.
    """

    name: Literal["attention"] = "attention"
    hidden: int = Field(512, ge=1)


Pooling = Annotated[Average | Gem | Attention, Field(discriminator="name")]
"""Every pooling; a new one is a class here, its place in this union, and its module in :func:`set_pooling`."""


class GeneralisedMean(nn.Module):
    """The pooling of :class:`Gem`, calculated in float32: half precision has no cubes above 40."""

    def __init__(self, p: float, *, trainable: bool) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p])) if trainable else p

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel 1 1"]:
        """Return one value per channel, in the precision of the feature maps."""
        mean = reduce(x.float().clamp(min=_EPS).pow(self.p), "batch channel height width -> batch channel 1 1", "mean")
        pooled: Tensor = mean.pow(1 / self.p).to(x.dtype)
        return pooled


class AttentionScores(nn.Module):
    """The share of each of several vectors in their weighted mean, by a layer of hyperbolic tangents.

    Structured self-attention with one head (Lin et al., https://arxiv.org/abs/1703.03130, equation 5). A bias of the
    last layer would change no share.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(features, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))

    def forward(self, vectors: Float[Tensor, "batch place feature"]) -> Float[Tensor, "batch place"]:
        """Return weights that sum to 1 over the places."""
        return torch.softmax(rearrange(self.score(vectors), "batch place 1 -> batch place"), dim=1)


class AttentionPool(nn.Module):
    """The pooling of :class:`Attention`."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.scores = AttentionScores(channels, hidden)

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel 1 1"]:
        """Return the weighted mean of each channel."""
        vectors = rearrange(x, "batch channel height width -> batch (height width) channel")
        weights = rearrange(self.scores(vectors), "batch place -> batch place 1")
        pooled: Tensor = rearrange((weights * vectors).sum(dim=1), "batch channel -> batch channel 1 1")
        return pooled


def set_pooling(network: nn.Module, pooling: Pooling, image: Float[Tensor, "1 channel height width"]) -> None:
    """Replace a timm network's pooling; raises ConfigError where it has none that averages over positions.

    ``image`` is an input of the network, which tells how many channels are pooled.
    """
    if isinstance(pooling, Average):
        return
    own: list[Any] = [module for module in network.modules() if isinstance(module, SelectAdaptivePool2d)]
    if len(own) != 1 or not isinstance(own[0].pool, nn.AdaptiveAvgPool2d):
        raise ConfigError(
            f"pooling: {pooling.name} takes the place of a mean over [height, width], and this network has none; "
            "write {name: average}, or choose a convolutional network"
        )
    if isinstance(pooling, Gem):
        own[0].pool = GeneralisedMean(pooling.p, trainable=pooling.trainable)
    else:
        own[0].pool = AttentionPool(_channels_into(own[0].pool, network, image), pooling.hidden)


def pooling_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that :func:`set_pooling` put into a network."""
    return [name for name, layer in network.named_modules() if isinstance(layer, GeneralisedMean | AttentionPool)]


def _channels_into(layer: nn.Module, network: nn.Module, image: Float[Tensor, "1 channel height width"]) -> int:
    channels: list[int] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: channels.append(inputs[0].shape[1]))
    training = network.training
    with torch.no_grad():
        network.eval()(image)
    network.train(training)
    hook.remove()
    return channels[0]
