"""Optimisers. ``build`` turns a configuration into a PyTorch optimiser over parameters, or groups of them."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from torch import nn, optim

from hms_search.component import Component

Beta = Annotated[float, Field(ge=0, lt=1)]
LearningRate = Annotated[float, Field(gt=0)]
WeightDecay = Annotated[float, Field(ge=0)]
Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]


class AdamW(Component):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); the defaults are the baseline notebook's.

    Weight decay acts on biases and normalisation layers, too, as in the baseline, unless ``training.weight_decay_on``
    says otherwise.
    """

    name: Literal["adamw"] = "adamw"
    lr: LearningRate = 1e-3
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    weight_decay: WeightDecay = 0.01

    def build(self, parameters: Parameters) -> optim.Optimizer:
        """Return the optimiser."""
        return optim.AdamW(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


class Adam(Component):
    """Adam (Kingma & Ba 2015); weight decay is added to the gradient, as an L2 penalty would."""

    name: Literal["adam"] = "adam"
    lr: LearningRate = 1e-3
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    weight_decay: WeightDecay = 0.0

    def build(self, parameters: Parameters) -> optim.Optimizer:
        """Return the optimiser."""
        return optim.Adam(parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)


class SGD(Component):
    """Stochastic gradient descent with momentum, Nesterov's if asked for."""

    name: Literal["sgd"] = "sgd"
    lr: LearningRate = 0.01
    momentum: Beta = 0.9
    nesterov: bool = False
    weight_decay: WeightDecay = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found momentum 0; set one or nesterov: false")
        return self

    def build(self, parameters: Parameters) -> optim.Optimizer:
        """Return the optimiser."""
        return optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )


Optimiser = Annotated[AdamW | Adam | SGD, Field(discriminator="name")]
"""Every optimiser; a new one is a class here and its place in this union."""
