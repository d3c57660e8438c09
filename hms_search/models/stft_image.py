"""A short-time Fourier transform whose kernels are trained, and an image network that looks at it."""

from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.dft import SFREQ, window_taps
from hms_search.eeg.layout import Restack
from hms_search.eeg.shapes import ImageShape, InputShape
from hms_search.eeg.stft import Stft, scaled
from hms_search.models.backbone import feature_network
from hms_search.models.signals import signals_of
from hms_search.models.timm_image import TimmImage


class StftImage(Component):
    """Spectrograms of all signals as one image, by a Fourier transform that is trained with the image network.

    The 15th place's second branch, variant A; its variant B is ``stft: {n_fft: 190, win_length: 96, hop_length: 24,
    window: hann}``.

    Attributes
    ----------
    stft
        The transform, or what it is before training.
    trainable
        Whether its kernels are trained. If not, the images are those of the pipeline's ``stft`` with a ``restack``.
    columns
        How many successive rows, of the spectrograms one below the other, become one row of the image.
    image
        The network that looks at the image; its dropout comes before the classifier.
    """

    name: Literal["stft_image"] = "stft_image"
    stft: Stft = Stft()
    trainable: bool = True
    columns: int = Field(2, ge=1)
    image: TimmImage = TimmImage(backbone="hgnetv2_b4.ssld_stage2_ft_in1k", drop_path=0.2, dropout=0.5)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless the input is signals whose spectrograms make an image."""
        signals, times = signals_of(self.name, shape)
        self.image.check(self._image_shape(signals, times))

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, ``[batch, 1, signal, time] -> [batch, classes]`` logits."""
        return _Network(self, self._image_shape(*signals_of(self.name, shape)), classes)

    def _image_shape(self, signals: int, times: int) -> ImageShape:
        planes = self.stft.forward(torch.zeros(1, 1, times), ()).expand(1, signals, -1, -1)
        channels, height, width = Restack(columns=self.columns).forward(planes).shape[1:]
        return ImageShape(channels, (height, width))


class TrainedStft(nn.Module):
    """:class:`hms_search.eeg.stft.Stft` with weights, which start as those of nnAudio's trainable STFT.

    The weights reach over all of ``n_fft``: what lies outside the window starts at 0 and is trained too.
    """

    def __init__(self, stft: Stft) -> None:
        super().__init__()
        cosines, sines = fourier_kernels(stft)
        self.kernels = nn.Conv1d(1, len(cosines) + len(sines), stft.n_fft, stride=stft.hop_length, bias=False)
        with torch.no_grad():
            self.kernels.weight.copy_(rearrange(torch.cat([cosines, sines]), "kernel tap -> kernel 1 tap"))

    def forward(self, x: Float[Tensor, "batch signal time"]) -> Float[Tensor, "batch signal freq frame"]:
        """Return one plane per signal, float32 whatever the precision of the network."""
        with torch.autocast(x.device.type, enabled=False):  # 80 dB of range are beyond half precision
            waves = self.kernels(rearrange(x.float(), "batch signal time -> (batch signal) 1 time"))
            pattern = "(batch signal) (part freq) frame -> part batch signal freq frame"
            real, imaginary = rearrange(waves, pattern, part=2, signal=x.shape[1])
            return scaled(real.square() + imaginary.square())


def fourier_kernels(stft: Stft) -> tuple[Float[Tensor, "freq tap"], Float[Tensor, "freq tap"]]:
    """Return cosines and sines under the window, which is 0 at both ends of ``n_fft``, float32; nnAudio's."""
    before = (stft.n_fft - stft.win_length) // 2
    after = stft.n_fft - stft.win_length - before
    weights = np.pad(window_taps(stft.window, stft.win_length), (before, after))
    angles = 2 * np.pi / SFREQ * np.outer(stft.frequencies, np.arange(stft.n_fft))
    cosines, sines = (torch.from_numpy((weights * wave(angles)).astype(np.float32)) for wave in (np.cos, np.sin))
    return cosines, sines


class _Network(nn.Module):
    def __init__(self, config: StftImage, shape: ImageShape, classes: int) -> None:
        super().__init__()
        self._config = config
        self.stft = TrainedStft(config.stft) if config.trainable else None
        self.backbone = feature_network(config.image, shape)
        self.dropout = nn.Dropout(config.image.dropout)
        self.num_features: int = self.backbone.num_features  # type: ignore[assignment]
        self.classifier = nn.Linear(self.num_features, classes)

    def forward(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch classes"]:
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def features(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch feature"]:
        """Return what the classifier sees."""
        features: Tensor = self.dropout(self.backbone(self.image(x)))
        return features

    def image(self, x: Float[Tensor, "batch 1 signal time"]) -> Float[Tensor, "batch 1 height width"]:
        """Return what the image network sees."""
        signals = rearrange(x, "batch 1 signal time -> batch signal time")
        planes = self._config.stft.forward(signals, ()) if self.stft is None else self.stft(signals)
        return Restack(columns=self._config.columns).forward(planes)
