"""Augmentations: random changes of training samples, their labels and weights, on the device and per sample.

An augmentation is a frozen component with a ``name``, a probability ``p`` and its strength; where a source publishes
them, they are the defaults. Its ``forward`` takes a batch and a ``torch.Generator`` and returns a batch of the same
shapes, types and device. It draws for each sample; what a sample becomes depends on no other sample of the batch, but
for mixing. The type of a member says where it acts:

- before the input pipeline, on :class:`Recordings`: EEG in microvolts and log power of the 10-minute spectrogram. One
  draw per sample acts on both, so they stay in sync; every montage, filter and representation follows.
- after it, on :class:`Images`: what the network sees.

``acts_on`` names what a member changes: ``eeg``, ``log_power``, ``image``. One tuple of augmentations is applied in its
order, at two places::

    recordings = augment_recordings(recordings, augmentations, generator)
    x = pipeline.forward(...)
    images = augment_images(Images(x, recordings.target, recordings.weight), augmentations, generator)

The generator may be on the CPU, whatever the device of the batch, and best is: then no draw makes a GPU wait.
"""

from collections.abc import Sequence
from typing import Annotated

import torch

from hms_search.augment.amplitude import EdgeNoise, HeadScale, PolarityInversion
from hms_search.augment.band_pass import NarrowBandPass
from hms_search.augment.batch import Images, Recordings
from hms_search.augment.blur import Blur
from hms_search.augment.channels import ElectrodeDrop, PlaneDrop
from hms_search.augment.flips import FrontBackFlip, LeftRightFlip
from hms_search.augment.masking import CoarseDropout, FrequencyDropout, XYMasking
from hms_search.augment.mixing import CropCat, EegMixup, Mixup
from hms_search.augment.time_axis import EdgeDropout, TimeCutout, TimeResample, TimeReversal, WindowShift
from hms_search.component import Field

RecordingAugmentation = (
    LeftRightFlip
    | FrontBackFlip
    | CropCat
    | EegMixup
    | HeadScale
    | PolarityInversion
    | EdgeNoise
    | TimeResample
    | TimeReversal
    | WindowShift
    | EdgeDropout
    | TimeCutout
    | ElectrodeDrop
    | NarrowBandPass
)
"""Every augmentation of recordings; a new one is a class and its place in this union."""
ImageAugmentation = Mixup | XYMasking | CoarseDropout | FrequencyDropout | Blur | PlaneDrop
"""Every augmentation of images."""
Augmentation = Annotated[RecordingAugmentation | ImageAugmentation, Field(discriminator="name")]
"""Every augmentation."""

__all__ = [
    "Augmentation",
    "ImageAugmentation",
    "Images",
    "Mixup",
    "RecordingAugmentation",
    "Recordings",
    "augment_images",
    "augment_recordings",
]


def augment_recordings(
    batch: Recordings, augmentations: Sequence[Augmentation], generator: torch.Generator
) -> Recordings:
    """Return the batch after those augmentations that act on recordings, in order.

    Raises ValueError where one would change nothing because the batch has nothing that it acts on.
    """
    for augmentation in augmentations:
        if isinstance(augmentation, RecordingAugmentation):
            _check(augmentation, batch)
            batch = augmentation.forward(batch, generator)
    return batch


def augment_images(batch: Images, augmentations: Sequence[Augmentation], generator: torch.Generator) -> Images:
    """Return the batch after those augmentations that act on images, in order."""
    for augmentation in augmentations:
        if isinstance(augmentation, ImageAugmentation):
            batch = augmentation.forward(batch, generator)
    return batch


def _check(augmentation: RecordingAugmentation, batch: Recordings) -> None:
    found = [what for what in ("eeg", "log_power") if getattr(batch, what) is not None]
    if augmentation.p and not set(found) & set(augmentation.acts_on):
        raise ValueError(
            f"{augmentation.name} acts on {' and '.join(augmentation.acts_on)}, found only {' and '.join(found)}; "
            "remove it or set its p to 0"
        )
