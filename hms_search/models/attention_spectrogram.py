"""One small image network for every slice of a spectrogram, and attention over the slices (15th place)."""

from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import ImageShape, InputShape
from hms_search.models.backbone import feature_network
from hms_search.models.pooling import AttentionScores
from hms_search.models.timm_image import TimmImage


class AttentionSpectrogram(Component):
    """Slices of a spectrogram, each seen by the same network, weighed against each other by attention.

    The third branch of the 15th place looks so at ten slices of the ten-minute spectrogram: four regions and their six
    differences. The attention is that of structured self-attention (https://arxiv.org/abs/1703.03130) with one head.

    Attributes
    ----------
    image
        The network of one channel that turns a slice into a feature vector; its dropout comes before the attention.
    hidden
        Width of the attention's hidden layer.
    attention_dropout
        Probability of dropping a slice's weight.
    """

    name: Literal["attention_spectrogram"] = "attention_spectrogram"
    image: TimmImage = TimmImage(backbone="hgnetv2_b2.ssld_stage2_ft_in1k", dropout=0.5)
    hidden: int = Field(2048, ge=1)
    attention_dropout: float = Field(0.5, ge=0, lt=1)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is one image of at least two slices that suit the network."""
        if not isinstance(shape, ImageShape) or shape.channels < 2:
            found = str(shape) if isinstance(shape, ImageShape) else f"{' and '.join(shape)} apart"
            raise ValueError(f"model {self.name} weighs slices: expected an image of 2 channels or more, found {found}")
        self.image.check(ImageShape(1, shape.size))

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, slice, height, width] -> [batch, classes]`` logits."""
        assert isinstance(shape, ImageShape)  # see check
        return _Network(self, ImageShape(1, shape.size), classes)


class _Network(nn.Module):
    def __init__(self, config: AttentionSpectrogram, shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.backbone = feature_network(config.image, shape)
        self.num_features: int = self.backbone.num_features  # type: ignore[assignment]
        self.dropout = nn.Dropout(config.image.dropout)
        self.scores = AttentionScores(self.num_features, config.hidden)
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.classifier = nn.Linear(self.num_features, classes)

    def forward(self, x: Float[Tensor, "batch slice height width"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch slice height width"]) -> Float[Tensor, "batch feature"]:
        """Return the weighted sum of the slices' features."""
        slices = self._slices(x)
        weights = self.attention_dropout(rearrange(self.scores(slices), "batch slice -> batch slice 1"))
        features: Tensor = (weights * slices).sum(dim=1)
        return features

    def attention(self, x: Float[Tensor, "batch slice height width"]) -> Float[Tensor, "batch slice"]:
        """Return the weight of each slice, for looking at; the weights of an image sum to 1."""
        weights: Tensor = self.scores(self._slices(x))
        return weights

    def _slices(self, x: Float[Tensor, "batch slice height width"]) -> Float[Tensor, "batch slice feature"]:
        each = self.backbone(rearrange(x, "batch slice height width -> (batch slice) 1 height width"))
        slices: Tensor = self.dropout(rearrange(each, "(batch slice) feature -> batch slice feature", slice=x.shape[1]))
        return slices
