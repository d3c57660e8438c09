"""A small recurrent baseline: strided convolutions, a recurrent layer in both directions, pooling over time."""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import InputShape
from hms_search.models.pooling import AttentionScores
from hms_search.models.signals import signals_of


class EegGru(Component):
    """Convolutions that shorten the signals, then gated recurrent units over the steps that are left.

    With the defaults a window of 10,000 samples becomes 157 steps of 0.32 s.

    Attributes
    ----------
    channels
        Output channels of each convolution; they mix all signals.
    kernel, stride
        Of the convolutions, in samples.
    hidden, layers
        Width of the recurrent state in each direction, and how many recurrent layers there are.
    pool
        Over the steps: their ``mean``, or their sum weighed by ``attention``.
    dropout
        Probability of dropping a feature before the classifier.
    """

    name: Literal["eeg_gru"] = "eeg_gru"
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field((32, 64, 96), min_length=1)
    kernel: int = Field(9, ge=1)
    stride: int = Field(4, ge=1)
    hidden: int = Field(64, ge=1)
    layers: int = Field(1, ge=1)
    pool: Literal["mean", "attention"] = "attention"
    dropout: float = Field(0.0, ge=0, lt=1)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is signals."""
        signals_of(self.name, shape)

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, 1, signal, time] -> [batch, classes]`` logits."""
        return _Network(self, signals_of(self.name, shape)[0], classes)


class _Network(nn.Module):
    def __init__(self, config: EegGru, signals: int, classes: int) -> None:
        super().__init__()
        widths = (signals, *config.channels)
        self.stem = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(before, after, config.kernel, config.stride, padding=config.kernel // 2, bias=False),
                    nn.BatchNorm1d(after),
                    nn.SiLU(),
                )
                for before, after in pairwise(widths)
            )
        )
        self.recurrent = nn.GRU(widths[-1], config.hidden, config.layers, batch_first=True, bidirectional=True)
        self.num_features = 2 * config.hidden
        self.attention = AttentionScores(self.num_features, config.hidden) if config.pool == "attention" else None
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.num_features, classes))

    def forward(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch feature"]:
        """Return the pooled states of the recurrent layer."""
        short = self.stem(rearrange(x, "batch 1 signal time -> batch signal time"))
        # cuDNN gives no gradient of an evaluated network, which Grad-CAM needs.
        with torch.backends.cudnn.flags(enabled=self.training or not torch.is_grad_enabled()):
            states: Tensor = self.recurrent(rearrange(short, "batch channel step -> batch step channel"))[0]
        if self.attention is None:
            return states.mean(dim=1)
        return torch.einsum("bs,bsf->bf", self.attention(states), states)
