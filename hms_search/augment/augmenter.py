"""What training batches are passed through: a list of augmentations, for the recordings an experiment reads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hms_search.augment import Augmentation, ImageAugmentation, Images, Recordings, augment_images, augment_recordings
from hms_search.eeg.pipelines import Inputs
from hms_search.eeg.shapes import KINDS, Kind

_N_DIMS = 3
"""Of recordings [batch, time, column]; baked images of EEG have one more."""


@dataclass(frozen=True)
class Augmenter:
    """Augmentations in their order, as :class:`hms_search.data.batches.Batches` calls them."""

    augmentations: tuple[Augmentation, ...]

    def recordings(
        self, recordings: dict[Kind, Tensor], target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[dict[Kind, Tensor], Tensor, Tensor]:
        """Return recordings as float32, targets and weights, changed; baked images stay as they are."""
        raw = {kind: x.float() for kind, x in recordings.items() if x.ndim == _N_DIMS}
        batch = Recordings(raw.get("eeg"), raw.get("spectrogram"), target, weight)
        changed = augment_recordings(batch, self.augmentations, generator)
        found = {kind: x for kind, x in zip(KINDS, (changed.eeg, changed.log_power), strict=True) if x is not None}
        return {**recordings, **found}, changed.target, changed.weight

    def images(
        self, x: Inputs, target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[Inputs, Tensor, Tensor]:
        """Return images, targets and weights, changed; of images apart, each by the augmentations that mean it."""
        if isinstance(x, Tensor):
            changed = augment_images(Images(x, target, weight), self.augmentations, generator)
            return changed.x, changed.target, changed.weight
        apart: dict[Kind, Tensor] = {}
        for kind, image in x.items():
            chosen = [
                one for one in self.augmentations if not isinstance(one, ImageAugmentation) or one.of in (None, kind)
            ]
            apart[kind] = augment_images(Images(image, target, weight), chosen, generator).x
        return apart, target, weight
