"""Three networks in one: WaveNet and trained spectrograms of the EEG, and attention over the ten-minute spectrogram."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hms_search.component import Component, Field
from hms_search.data.labels import CLASSES
from hms_search.eeg.shapes import KINDS, ImageShape, InputShape, Kind
from hms_search.models.attention_spectrogram import AttentionSpectrogram
from hms_search.models.heads import Heads
from hms_search.models.stft_image import StftImage
from hms_search.models.wavenet import WaveNet

Weight = Annotated[float, Field(ge=0)]


class Multimodal(Component):
    """The 15th place's network: one linear layer over the features of three branches.

    Each branch keeps its own classifier, which learns beside the main one; predictions are the main one's. A branch
    alone is the model of its name.

    Attributes
    ----------
    wavenet, stft_image
        The branches that look at the EEG.
    attention_spectrogram
        The branch that looks at the ten-minute spectrogram.
    loss_weights
        Weights of the losses: of the main classifier, and of those of the spectrogram, STFT and WaveNet branches.
    """

    name: Literal["multimodal"] = "multimodal"
    wavenet: WaveNet = WaveNet()
    stft_image: StftImage = StftImage()
    attention_spectrogram: AttentionSpectrogram = AttentionSpectrogram()
    loss_weights: tuple[Weight, Weight, Weight, Weight] = (0.79, 0.06, 0.06, 0.09)

    def check(self, shape: InputShape) -> None:
        """Raise ValueError unless EEG and spectrogram come apart and suit their branches."""
        eeg, spectrogram = self._shapes(shape)
        self.wavenet.check(eeg)
        self.stft_image.check(eeg)
        self.attention_spectrogram.check(spectrogram)

    def build(self, shape: InputShape, *, classes: int = len(CLASSES)) -> nn.Module:
        """Return the network, from EEG ``[batch, 1, signal, time]`` and spectrogram slices to logits.

        While it is trained it returns the logits of all four classifiers.
        """
        eeg, spectrogram = self._shapes(shape)
        return _Network(
            spectrogram=self.attention_spectrogram.build(spectrogram, classes=classes),
            stft=self.stft_image.build(eeg, classes=classes),
            wavenet=self.wavenet.build(eeg, classes=classes),
            weights=self.loss_weights,
            classes=classes,
        )

    def _shapes(self, shape: InputShape) -> tuple[ImageShape, ImageShape]:
        if isinstance(shape, ImageShape) or not shape.keys() >= set(KINDS):
            found = "one image" if isinstance(shape, ImageShape) else " and ".join(shape)
            raise ValueError(
                f"model {self.name} takes EEG and spectrogram apart, found {found}; write pipeline: "
                "{source: both, join: apart}"
            )
        return shape["eeg"], shape["spectrogram"]


class _Network(nn.Module):
    def __init__(
        self, *, spectrogram: nn.Module, stft: nn.Module, wavenet: nn.Module, weights: tuple[float, ...], classes: int
    ) -> None:
        super().__init__()
        self._weights = weights
        self.branches = nn.ModuleList([spectrogram, stft, wavenet])
        self.num_features = sum(branch.num_features for branch in self.branches)  # type: ignore[misc]
        self.classifier = nn.Linear(self.num_features, classes)

    def forward(self, x: Mapping[Kind, Tensor]) -> Float[Tensor, "batch classes"] | Heads:
        features = self._features(x)
        main: Tensor = self.classifier(torch.cat(features, dim=1))
        if not self.training:
            return main
        seen = zip(self.branches, features, strict=True)
        auxiliary = [branch.classifier(part) for branch, part in seen]  # type: ignore[operator]
        return Heads(main, tuple(auxiliary), self._weights)

    def features(self, x: Mapping[Kind, Tensor]) -> Float[Tensor, "batch feature"]:
        """Return what the main classifier sees."""
        return torch.cat(self._features(x), dim=1)

    def _features(self, x: Mapping[Kind, Tensor]) -> list[Tensor]:
        seen: tuple[Kind, ...] = ("spectrogram", "eeg", "eeg")
        parts = zip(self.branches, seen, strict=True)
        return [branch.features(x[kind]) for branch, kind in parts]  # type: ignore[operator]
