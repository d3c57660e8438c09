"""The names of a network's parameters, for settings that choose among them."""

from functools import lru_cache
from typing import Protocol, cast

import torch
from torch import nn

from hms_search.component import Component
from hms_search.eeg.shapes import ImageShape, InputShape, Kind
from hms_search.models.pretrained import with_images


def parameter_names(model: Component, shape: InputShape) -> tuple[str, ...]:
    """Return the names of the parameters of a model's network, in their order.

    The network is built for that, some tenths of a second, once for all models that differ only in first weights and
    in the chances of dropping something in their timm networks; nothing is drawn from the global generator. Raises
    ConfigError where it cannot be built.
    """
    outlined = cast(_Model, with_images(model, lambda image: image.outlined))
    return _names(outlined, shape if isinstance(shape, ImageShape) else tuple(shape.items()))


class _Model(Protocol):
    def __hash__(self) -> int: ...

    def build(self, shape: InputShape) -> nn.Module: ...


@lru_cache(maxsize=256)
def _names(model: _Model, shape: ImageShape | tuple[tuple[Kind, ImageShape], ...]) -> tuple[str, ...]:
    with torch.random.fork_rng(devices=[]):  # not on the meta device: braindecode runs its networks as it builds them
        network = model.build(shape if isinstance(shape, ImageShape) else dict(shape))
    return tuple(name for name, _ in network.named_parameters())
