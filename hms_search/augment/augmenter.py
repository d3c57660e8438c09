"""What training batches are passed through: a list of augmentations, for the kind of recording an experiment reads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hms_search.augment import Augmentation, Images, Recordings, augment_images, augment_recordings
from hms_search.data.hms import Kind


@dataclass(frozen=True)
class Augmenter:
    """Augmentations in their order, as :class:`hms_search.data.batches.Batches` calls them."""

    augmentations: tuple[Augmentation, ...]
    source: Kind

    def recordings(
        self, x: Tensor, target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return recordings of the source's kind as float32, targets and weights, changed."""
        eeg, log_power = (x.float(), None) if self.source == "eeg" else (None, x.float())
        changed = augment_recordings(Recordings(eeg, log_power, target, weight), self.augmentations, generator)
        found = changed.eeg if self.source == "eeg" else changed.log_power
        assert found is not None
        return found, changed.target, changed.weight

    def images(
        self, x: Tensor, target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, targets and weights, changed."""
        changed = augment_images(Images(x, target, weight), self.augmentations, generator)
        return changed.x, changed.target, changed.weight
