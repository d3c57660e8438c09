"""Blocks of dilated convolutions over one signal, as WaveNet's: Deotte's and the 15th place's."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hms_search.component import Component, Field, model_validator

_KERNEL = 3
"""Taps of the dilated convolutions, of both sources."""


class Improved(Component):
    """The 15th place's blocks: three gates, a residual from the block's entry, fewer time steps after the last block.

    A layer of dilation d makes x to ``entry + conv1(sigmoid(conv_d(x)) * tanh(conv_d(x)) * mish(conv_d(x)))``, where
    ``entry`` is what the block's first convolution made of its input. Channels rise from one and layers fall to one
    evenly, rounded down.

    Attributes
    ----------
    count
        Number of blocks: 7 with 24 channels, 8 with 28.
    channels
        Channels of the last block.
    layers
        Layers of the first block. Their dilations are 1, 2, 4, ...; of 15 the last reaches over 10,000 samples.
    downsample
        Kernel and stride of a convolution after the last block.
    """

    name: Literal["improved"] = "improved"
    count: int = Field(7, ge=2)
    channels: int = Field(24, ge=2)
    layers: int = Field(15, ge=1, le=20)
    downsample: int = Field(5, ge=1)

    @property
    def filters(self) -> tuple[int, ...]:
        """Channels of each block."""
        return (*_evenly(1, self.channels, self.count)[1:], self.channels)

    @property
    def depths(self) -> tuple[int, ...]:
        """Layers of each block."""
        return _evenly(self.layers, 1, self.count)

    def build(self, *, checkpointing: bool = False) -> nn.Sequential:
        """Return the blocks, ``[batch, 1, time] -> [batch, channel, time / downsample]``."""
        blocks = _stack(_ImprovedBlock, self.filters, self.depths, checkpointing=checkpointing)
        if self.downsample > 1:
            blocks.append(nn.Conv1d(self.channels, self.channels, self.downsample, stride=self.downsample))
        return blocks


class Starter(Component):
    """Blocks of Deotte's WaveNet starter: two gates, the sum of what all layers made.

    A layer of dilation d makes x to ``conv1(tanh(conv_d(x)) * sigmoid(conv_d(x)))``; a block returns the sum of what
    its first convolution and all its layers made.

    Attributes
    ----------
    filters, depths
        Channels and layers of each block.
    """

    name: Literal["starter"] = "starter"
    filters: tuple[Annotated[int, Field(ge=2)], ...] = Field((8, 16, 32, 64), min_length=1)
    depths: tuple[Annotated[int, Field(ge=1, le=20)], ...] = Field((12, 8, 4, 1), min_length=1)

    @model_validator(mode="after")
    def _in_pairs(self) -> "Starter":
        if len(self.filters) != len(self.depths):
            raise ValueError(
                f"filters and depths have one number for each block, found {len(self.filters)} and {len(self.depths)}"
            )
        return self

    @property
    def downsample(self) -> int:
        """One: they return as many time steps as they get."""
        return 1

    def build(self, *, checkpointing: bool = False) -> nn.Sequential:
        """Return the blocks, ``[batch, 1, time] -> [batch, channel, time]``."""
        return _stack(_StarterBlock, self.filters, self.depths, checkpointing=checkpointing)


Blocks = Annotated[Improved | Starter, Field(discriminator="name")]
"""Every kind of blocks; a new one is a class here and its place in this union."""

Gates = tuple[Callable[[Tensor], Tensor], ...]


class _ImprovedBlock(nn.Module):
    def __init__(self, inputs: int, filters: int, depth: int, *, checkpointing: bool) -> None:
        super().__init__()
        self.entry = nn.Conv1d(inputs, filters, 1)
        self.layers = _layers(filters, depth, (torch.sigmoid, torch.tanh, functional.mish), checkpointing=checkpointing)

    def forward(self, x: Float[Tensor, "batch inputs time"]) -> Float[Tensor, "batch filters time"]:
        entry: Tensor = self.entry(x)
        x = entry
        for layer in self.layers:
            x = entry + layer(x)
        return x


class _StarterBlock(nn.Module):
    def __init__(self, inputs: int, filters: int, depth: int, *, checkpointing: bool) -> None:
        super().__init__()
        self.entry = nn.Conv1d(inputs, filters, 1)
        self.layers = _layers(filters, depth, (torch.tanh, torch.sigmoid), checkpointing=checkpointing)

    def forward(self, x: Float[Tensor, "batch inputs time"]) -> Float[Tensor, "batch filters time"]:
        x = self.entry(x)
        total = x
        for layer in self.layers:
            x = layer(x)
            total = total + x
        return total


class _Layer(nn.Module):
    """Gates of one dilation, multiplied, and a convolution of one tap; outside the signal are zeros.

    The gates' convolutions are one with their filters in a row: the same sums, a third of the passes over the signal.
    """

    def __init__(self, filters: int, dilation: int, gates: Gates, *, checkpointing: bool) -> None:
        super().__init__()
        self._gates, self._checkpointing = gates, checkpointing
        self.dilated = nn.Conv1d(filters, len(gates) * filters, _KERNEL, padding="same", dilation=dilation)
        self.mixed = nn.Conv1d(filters, filters, 1)

    def forward(self, x: Float[Tensor, "batch filters time"]) -> Float[Tensor, "batch filters time"]:
        if self._checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(self._forward, x, use_reentrant=False, preserve_rng_state=False)
            return out
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        parts = self.dilated(x).chunk(len(self._gates), dim=1)
        opened = [gate(part) for gate, part in zip(self._gates, parts, strict=True)]
        out: Tensor = self.mixed(math.prod(opened[1:], start=opened[0]))
        return out


def _layers(filters: int, depth: int, gates: Gates, *, checkpointing: bool) -> nn.ModuleList:
    return nn.ModuleList(_Layer(filters, 2**i, gates, checkpointing=checkpointing) for i in range(depth))


def _stack(
    block: type[_ImprovedBlock] | type[_StarterBlock],
    filters: Sequence[int],
    depths: Sequence[int],
    *,
    checkpointing: bool,
) -> nn.Sequential:
    inputs = (1, *filters[:-1])
    shapes = zip(inputs, filters, depths, strict=True)
    return nn.Sequential(*(block(*shape, checkpointing=checkpointing) for shape in shapes))


def _evenly(first: int, last: int, count: int) -> tuple[int, ...]:
    """Return whole numbers at even distances, rounded down."""
    return tuple((first * (count - 1 - i) + last * i) // (count - 1) for i in range(count))
