"""The epilepsy hackathon's small convolutional network, for FFT images."""

from typing import Annotated, Literal

from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field, field_validator
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import ImageShape, InputShape


class EegCnn(Component):
    """Blocks of convolution, LeakyReLU, batch normalisation and max pooling, and one fully connected layer.

    The hackathon's write-up gives the layers and their order: three such blocks, a fourth without the pooling, one
    fully connected layer. They look at mean and quartiles of 20 derivations by 24 frequencies, ``[3, 20, 24]``:
    ``montage: {name: tuh20}``, ``representation: {name: fft_image}``, ``layout: {name: channels}``. Channels, kernel
    and slope are not in the source; the defaults are ours: channels that double as the image shrinks, kernels of 3 and
    PyTorch's slope.

    Attributes
    ----------
    channels
        Output channels of each block; all blocks but the last halve height and width.
    kernel
        Height and width of the convolutions, odd; the edges are padded with zeros.
    slope
        Of LeakyReLU below 0.
    dropout
        Probability of dropping a feature before the fully connected layer.
    """

    name: Literal["eeg_cnn"] = "eeg_cnn"
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field((32, 64, 128, 256), min_length=1)
    kernel: int = Field(3, ge=1)
    slope: float = Field(0.01, ge=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {kernel}")
        return kernel

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is one image of a fixed size that survives the pooling."""
        if not isinstance(shape, ImageShape) or shape.size is None:
            found = str(shape) if isinstance(shape, ImageShape) else f"{' and '.join(shape)} apart"
            raise ValueError(f"model {self.name} needs one image of a fixed size, found {found}; set pipeline.resize")
        least = 2 ** (len(self.channels) - 1)
        if min(shape.size) < least:
            raise ValueError(
                f"model {self.name} halves its image {len(self.channels) - 1} times: expected {least} x {least} or "
                f"more, found {shape}; give fewer model.channels, or set pipeline.resize"
            )

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, channel, height, width] -> [batch, classes]`` logits."""
        assert isinstance(shape, ImageShape)  # see check
        assert shape.size is not None
        return _Network(self, shape.channels, shape.size, classes)


class _Network(nn.Module):
    def __init__(self, config: EegCnn, channels: int, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        last = len(config.channels) - 1
        blocks = []
        for number, width in enumerate(config.channels):
            blocks.append(_block(channels, width, config, pool=number < last))
            channels = width
        self.blocks = nn.Sequential(*blocks)
        height, width = (side // 2**last for side in size)
        self.num_features = channels * height * width
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(self.num_features, classes))

    def forward(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        """Return the last block's planes in a row."""
        planes: Tensor = self.blocks(x)
        return planes.flatten(1)


def _block(channels: int, width: int, config: EegCnn, *, pool: bool) -> nn.Sequential:
    layers = [
        nn.Conv2d(channels, width, config.kernel, padding=config.kernel // 2),
        nn.LeakyReLU(config.slope),
        nn.BatchNorm2d(width),
    ]
    return nn.Sequential(*layers, nn.MaxPool2d(2)) if pool else nn.Sequential(*layers)
