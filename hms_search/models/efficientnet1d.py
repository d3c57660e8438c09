"""EfficientNet along time: the 4th place's network over derivations in chains (yu4u)."""

import math
from typing import Literal

from einops import rearrange
from jaxtyping import Float
from timm.layers.drop import DropPath
from timm.layers.squeeze_excite import SEModule
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import InputShape
from hms_search.models.pooling import GeneralisedMean
from hms_search.models.signals import signals_of

_STEM, _HEAD = 32, 1280
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
"""Expansion, kernel, stride, channels and repeats of EfficientNet-B0's stages (https://arxiv.org/abs/1905.11946)."""


class EfficientNet1d(Component):
    """EfficientNet's blocks with kernels and strides along time, and generalised-mean pooling.

    The signals are chains of equally many derivations, chain after chain, as the montages ``double_banana_16`` and
    ``deotte`` have them. The positions in a chain are the channels and the chains the rows of the image, as in the
    4th place's solution, so all chains share their weights.
    Neighbouring rows are mixed by the depthwise kernels: the solution's augmentation by the chains' order would
    do nothing otherwise; how far its own kernels reach is not in the source, nor is the network's size.

    It saw 1920 samples: ``representation: {name: waveform, length: 9600, every: 5, centre: true}``.

    Attributes
    ----------
    chains
        How many chains the signals are.
    across
        How many neighbouring chains a depthwise kernel spans, odd; 1: chains meet in the pooling only.
    width, depth
        Factors of EfficientNet-B0's channels and of its repeats of blocks.
    p
        First exponent of the pooling, which is trained: 1 is the mean, the larger the nearer to the maximum.
    dropout, drop_path
        Probability of dropping a feature before the classifier, and of skipping the deepest residual block.
    """

    name: Literal["efficientnet1d"] = "efficientnet1d"
    chains: int = Field(4, ge=1)
    across: Literal[1, 3, 5] = 3
    width: float = Field(0.5, gt=0)
    depth: float = Field(0.5, gt=0)
    p: float = Field(3.0, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    drop_path: float = Field(0.0, ge=0, lt=1)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is signals that the chains share out evenly."""
        signals, _ = signals_of(self.name, shape)
        if signals % self.chains:
            raise ValueError(
                f"model {self.name} takes {self.chains} chains of equal length, found {signals} signals; "
                "choose another pipeline.montage, or set model.chains"
            )

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, 1, signal, time] -> [batch, classes]`` logits."""
        return _Network(self, signals_of(self.name, shape)[0] // self.chains, classes)


class _Network(nn.Module):
    def __init__(self, config: EfficientNet1d, positions: int, classes: int) -> None:
        super().__init__()
        self.chains = config.chains
        stem, head = (_widened(channels, config.width) for channels in (_STEM, _HEAD))
        self.stem = _convolution(positions, stem, (1, 3), stride=2, act=True)
        self.blocks = _blocks(config, stem)
        self.head = _convolution(self.blocks[-1].out_channels, head, (1, 1), act=True)  # type: ignore[arg-type]
        self.pool = GeneralisedMean(config.p, trainable=True)
        self.num_features = head
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(head, classes))

    def forward(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch feature"]:
        """Return the last planes pooled over chains and time."""
        image = rearrange(x, "batch 1 (chain position) time -> batch position chain time", chain=self.chains)
        pooled: Tensor = self.pool(self.head(self.blocks(self.stem(image))))
        return pooled.flatten(1)


class _MBConv(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, projection; skipped over where the shapes agree."""

    def __init__(self, channels: int, out_channels: int, expansion: int, kernel: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        hidden = channels * expansion
        self.expand = _convolution(channels, hidden, (1, 1), act=True) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(hidden, hidden, kernel, stride=stride, groups=hidden, act=True)
        self.excite = SEModule(hidden, rd_channels=max(1, channels // 4), act_layer=nn.SiLU)
        self.project = _convolution(hidden, out_channels, (1, 1), act=False)
        self.skip = DropPath() if stride == 1 and channels == out_channels else None

    def forward(self, x: Float[Tensor, "batch channel chain time"]) -> Float[Tensor, "batch channel2 chain time2"]:
        y: Tensor = self.project(self.excite(self.depthwise(self.expand(x))))
        return y if self.skip is None else x + self.skip(y)


def _blocks(config: EfficientNet1d, channels: int) -> nn.Sequential:
    blocks = []
    for expansion, kernel, stride, base, repeats in _STAGES:
        out_channels = _widened(base, config.width)
        for number in range(math.ceil(repeats * config.depth)):
            block = _MBConv(channels, out_channels, expansion, (config.across, kernel), stride if number == 0 else 1)
            blocks.append(block)
            channels = out_channels
    for number, block in enumerate(blocks):
        if block.skip is not None:
            block.skip.drop_prob = config.drop_path * number / len(blocks)
    return nn.Sequential(*blocks)


def _widened(channels: int, factor: float) -> int:
    """Return the nearest multiple of 8."""
    return max(8, 8 * round(channels * factor / 8))


def _convolution(
    channels: int, out_channels: int, kernel: tuple[int, int], *, act: bool, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution with strides along time, batch normalisation and, with ``act``, SiLU."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    convolution = nn.Conv2d(channels, out_channels, kernel, (1, stride), padding, groups=groups, bias=False)
    fan_out = out_channels // groups * kernel[0] * kernel[1]
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / fan_out))  # as EfficientNet's authors
    layers = [convolution, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, nn.SiLU()) if act else nn.Sequential(*layers)
