"""A timm network as a part of a larger one: from images to feature vectors."""

from jaxtyping import Float
from torch import Tensor, nn

from hms_search.eeg.shapes import ImageShape
from hms_search.models.timm_image import TimmImage


def feature_network(image: TimmImage, shape: ImageShape) -> nn.Module:
    """Return the network without its classifier and the dropout before it.

    ``[batch, channel, height, width] -> [batch, num_features]``, pooled as the configuration says; ``num_features`` is
    an attribute.
    """
    return _Features(image.model_copy(update={"dropout": 0.0}).build(shape, classes=0))


class _Features(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.num_features: int = network.head_hidden_size  # type: ignore[assignment]

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        features: Tensor = self.network(x)
        return features
