"""Blends: what turns the probabilities of several members into one prediction.

A blend is only applied here; :mod:`hms_search.ensemble.fit` finds its numbers. This module goes into the Kaggle bundle.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.errors import CheckpointError, ConfigError

Space = Literal["probabilities", "logits"]
"""What is added up: probabilities, or logits, whose sum is a product of probabilities, normalised."""

Weight = Annotated[float, Field(ge=0, le=1)]

STATISTICS = ("max", "min", "mean", "std", "median")
"""What the stacking network is told of the members, for each class; in this order."""

_FLOOR = 1e-15


class MeanBlend(Component):
    """The mean over members of the probabilities, or of the logits: the normalised geometric mean."""

    name: Literal["mean"] = "mean"
    space: Space = "probabilities"

    def apply(self, probabilities: Float[np.ndarray, "members rows classes"]) -> Float[np.ndarray, "rows classes"]:
        """Return the blended probabilities."""
        return mix(probabilities, np.full(len(probabilities), 1 / len(probabilities)), self.space)


class WeightedBlend(Component):
    """A weighted mean of the probabilities, or of the logits; one weight per member, in their order, sum 1."""

    name: Literal["weighted"] = "weighted"
    weights: tuple[Weight, ...]
    space: Space = "probabilities"

    def apply(self, probabilities: Float[np.ndarray, "members rows classes"]) -> Float[np.ndarray, "rows classes"]:
        """Return the blended probabilities; raises ConfigError where the members are not as many as the weights."""
        _check_count(self.weights, probabilities)
        return mix(probabilities, np.array(self.weights), self.space)


class LinearBlend(Component):
    """softmax(sum of w_m logits_m + b): a weight of any sign per member and a bias per class (3rd place)."""

    name: Literal["linear"] = "linear"
    weights: tuple[float, ...]
    bias: tuple[float, ...]

    def apply(self, probabilities: Float[np.ndarray, "members rows classes"]) -> Float[np.ndarray, "rows classes"]:
        """Return the blended probabilities; raises ConfigError where the members are not as many as the weights."""
        _check_count(self.weights, probabilities)
        return softmax(np.tensordot(np.array(self.weights), logits_of(probabilities), axes=1) + np.array(self.bias))


class StackingBlend(Component):
    """A network of fully connected layers and ReLUs on five statistics of the members per class (the report's)."""

    name: Literal["stacking"] = "stacking"
    hidden: tuple[int, ...] = (600, 1200, 1000, 600)
    classes: int = 6

    def build(self) -> nn.Sequential:
        """Return the untrained network: statistics ``[rows, 5 x classes]`` to logits; no softmax at its end."""
        widths = (self.classes * len(STATISTICS), *self.hidden)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], self.classes))

    def apply(
        self, probabilities: Float[np.ndarray, "members rows classes"], tensors: Mapping[str, Tensor]
    ) -> Float[np.ndarray, "rows classes"]:
        """Return the blended probabilities, given the trained network's state.

        Raises CheckpointError where the state is of another network.
        """
        with torch.device("meta"):  # nothing is initialised, the weights are put in
            network = self.build()
        try:
            network.load_state_dict(tensors, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"the weights do not fit a stacking network with hidden {self.hidden}: {reason}"
            ) from None
        with torch.inference_mode():
            logits = network(torch.from_numpy(statistics_of(probabilities)).float())
        return softmax(logits.double().numpy())


Blend = Annotated[MeanBlend | WeightedBlend | LinearBlend | StackingBlend, Field(discriminator="name")]


@dataclass(frozen=True)
class FittedBlend:
    """A blend and the numbers that are no configuration: ``tensors`` is the state of a stacking network, else empty."""

    config: Blend
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def apply(self, probabilities: Float[np.ndarray, "members rows classes"]) -> Float[np.ndarray, "rows classes"]:
        """Return the blended probabilities, float64; rows sum to 1. Members are in the order of the fit."""
        if isinstance(self.config, StackingBlend):
            return self.config.apply(probabilities, self.tensors)
        return self.config.apply(probabilities)


def mix(
    probabilities: Float[np.ndarray, "members rows classes"], weights: Float[np.ndarray, " members"], space: Space
) -> Float[np.ndarray, "rows classes"]:
    """Return the weighted sum over members, in a space; with weights that sum to 1 a distribution per row."""
    return from_space(space, np.tensordot(weights, in_space(space, probabilities), axes=1))


def in_space(space: Space, probabilities: Float[np.ndarray, "*axes classes"]) -> Float[np.ndarray, "*axes classes"]:
    """Return probabilities as what a space adds up."""
    return logits_of(probabilities) if space == "logits" else np.asarray(probabilities, dtype=np.float64)


def from_space(space: Space, values: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"]:
    """Return what was added up in a space as probabilities."""
    return softmax(values) if space == "logits" else values


def logits_of(probabilities: Float[np.ndarray, "*axes classes"]) -> Float[np.ndarray, "*axes classes"]:
    """Return ln q, with q at least 1e-15 as in the score: the logits up to a number per row, which softmax ignores."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _FLOOR))


def softmax(logits: Float[np.ndarray, "rows classes"]) -> Float[np.ndarray, "rows classes"]:
    """Return each row's probabilities."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def statistics_of(probabilities: Float[np.ndarray, "members rows classes"]) -> Float[np.ndarray, "rows statistics"]:
    """Return max, min, mean, std and median over members of each class's probability, side by side.

    The standard deviation is the population's, so that it is 0, and not undefined, for a single member.
    """
    q = np.asarray(probabilities, dtype=np.float64)
    parts = (q.max(axis=0), q.min(axis=0), q.mean(axis=0), q.std(axis=0), np.median(q, axis=0))
    return np.concatenate(parts, axis=1)


def _check_count(weights: tuple[float, ...], probabilities: Float[np.ndarray, "members rows classes"]) -> None:
    if len(weights) != len(probabilities):
        raise ConfigError(
            f"the blend has {len(weights)} weights, there are {len(probabilities)} members; give one weight per member"
        )
