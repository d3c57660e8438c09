"""WaveNet over single signals, and what looks at all signals together: an image network, or means over chains."""

import math
from typing import Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import ImageShape, InputShape
from hms_search.models.backbone import feature_network
from hms_search.models.signals import signals_of
from hms_search.models.timm_image import TimmImage
from hms_search.models.wave_blocks import Blocks, Improved

_LAST = 2
"""Channels of every signal that lie together at the right of the image (15th place)."""
_PER_CHAIN, _UNITS = 2, 64
"""Signals of a chain, and the width of the layer over the chains, in Deotte's WaveNet starter."""


class WaveNet(Component):
    """Blocks of dilated convolutions over every signal; their channels over time are an image.

    The 15th place's first branch. With ``blocks: {name: starter}`` and ``image: null`` it is Deotte's WaveNet starter,
    for montage ``wavenet8`` at 40 Hz.

    Attributes
    ----------
    blocks
        ``improved`` (15th place) or ``starter`` (Deotte).
    group
        Signals that share one stack of blocks.
    image
        The network that looks at the channels of all signals as one image, time downwards; its dropout comes before
        the classifier. Null: the starter's head, the means over time and over the two signals of each chain, and one
        layer over the chains.
    checkpointing
        Whether the layers of the blocks are computed again for the gradient: of 24 signals of 10,000 samples they keep
        0.6 GiB then instead of 4.9, in float32.
    """

    name: Literal["wavenet"] = "wavenet"
    blocks: Blocks = Improved()
    group: int = Field(8, ge=1)
    image: TimmImage | None = TimmImage(
        backbone="tf_efficientnetv2_s.in21k_ft_in1k", stem_stride=(1, 2), drop_path=0.2, dropout=0.1
    )
    checkpointing: bool = False

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is signals that fit the groups and the downsampling."""
        signals, times = signals_of(self.name, shape)
        several = self.group if self.image is not None else math.lcm(self.group, _PER_CHAIN)
        if signals % several or times % self.blocks.downsample:
            raise ValueError(
                f"model {self.name} takes a multiple of {several} signals and of {self.blocks.downsample} samples, "
                f"found {signals} signals of {times} samples; choose another montage, or set model.group"
            )
        if self.image is not None:
            self.image.check(self._reimaged(signals, times))

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, 1, signal, time] -> [batch, classes]`` logits."""
        signals, times = signals_of(self.name, shape)
        head: _ImageHead | _ChainHead
        if self.image is None:
            head = _ChainHead(signals, self.blocks.filters[-1])
        else:
            head = _ImageHead(self.image, self._reimaged(signals, times))
        stacks = [self.blocks.build(checkpointing=self.checkpointing) for _ in range(signals // self.group)]
        return _Network(stacks, head, classes)

    def _reimaged(self, signals: int, times: int) -> ImageShape:
        return ImageShape(1, (times // self.blocks.downsample, signals * self.blocks.filters[-1]))


def as_image(signals: Float[Tensor, "batch signal channel time"]) -> Float[Tensor, "batch 1 time width"]:
    """Return the channels of all signals as columns: all but the last two of each signal, then those two of each.

    So the 15th place does it; 24 signals of 24 channels are 528 columns and 48 columns.
    """
    pattern = "batch signal channel time -> batch 1 time (signal channel)"
    parts = torch.tensor_split(signals, [signals.shape[2] - _LAST], dim=2)
    return torch.cat([rearrange(part, pattern) for part in parts], dim=3)


class _ImageHead(nn.Module):
    def __init__(self, image: TimmImage, shape: ImageShape) -> None:
        super().__init__()
        self.backbone = feature_network(image, shape)
        self.dropout = nn.Dropout(image.dropout)
        self.num_features: int = self.backbone.num_features  # type: ignore[assignment]

    def forward(self, signals: Float[Tensor, "batch signal channel time"]) -> Float[Tensor, "batch feature"]:
        features: Tensor = self.dropout(self.backbone(as_image(signals)))
        return features


class _ChainHead(nn.Module):
    def __init__(self, signals: int, channels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(signals // _PER_CHAIN * channels, _UNITS)
        self.num_features = _UNITS

    def forward(self, signals: Float[Tensor, "batch signal channel time"]) -> Float[Tensor, "batch feature"]:
        pattern = "batch (chain signal) channel time -> batch (chain channel)"
        return torch.relu(self.dense(reduce(signals, pattern, "mean", signal=_PER_CHAIN)))


class _Network(nn.Module):
    def __init__(self, stacks: list[nn.Sequential], head: _ImageHead | _ChainHead, classes: int) -> None:
        super().__init__()
        self.stacks = nn.ModuleList(stacks)
        self.head = head
        self.num_features = head.num_features
        self.classifier = nn.Linear(head.num_features, classes)

    def forward(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch feature"]:
        """Return what the classifier sees."""
        features: Tensor = self.head(self.channels(x))
        return features

    def channels(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch signal channel less"]:
        """Return the channels of every signal over time, each group's from its own stack."""
        groups = rearrange(x, "batch 1 (stack signal) time -> stack (batch signal) 1 time", stack=len(self.stacks))
        each = [stack(group) for stack, group in zip(self.stacks, groups, strict=True)]
        pattern = "stack (batch signal) channel time -> batch (stack signal) channel time"
        return rearrange(torch.stack(each), pattern, batch=len(x))
