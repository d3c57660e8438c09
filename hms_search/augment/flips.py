"""Brain flips: the recording of the mirrored head. They act before the montage, so every montage follows."""

from typing import ClassVar, Literal

import torch

from hms_search.augment.batch import Recordings
from hms_search.augment.draws import Probability, acting
from hms_search.component import Component
from hms_search.eeg.mirror import mirrored
from hms_search.eeg.montage import mirrored_electrodes


class LeftRightFlip(Component):
    """Left and right exchanged: Fp1/Fp2, F3/F4, F7/F8, C3/C4, T3/T4, P3/P4, T5/T6, O1/O2, and LL/RL, LP/RP.

    15th place, p 0.5; 3rd place the same on electrodes. EEG and 10-minute spectrogram flip together (in the 15th
    place's code the spectrogram's flip was not assigned and did nothing).
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg", "log_power")
    name: Literal["left_right_flip"] = "left_right_flip"
    p: Probability = 0.5

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some heads mirrored."""
        order = mirrored_electrodes("left_right")
        rows = acting(self.p, len(batch), generator)
        return batch.changed(rows, eeg=lambda x: x[..., order], log_power=mirrored)


class FrontBackFlip(Component):
    """Front and back exchanged: Fp1/O1, Fp2/O2, F3/P3, F4/P4, F7/T5, F8/T6, Fz/Pz (15th place, p 0.5).

    The regions of the 10-minute spectrogram run from front to back, so it stays.
    """

    acts_on: ClassVar[tuple[str, ...]] = ("eeg",)
    name: Literal["front_back_flip"] = "front_back_flip"
    p: Probability = 0.5

    def forward(self, batch: Recordings, generator: torch.Generator) -> Recordings:
        """Return the batch with some heads mirrored."""
        order = mirrored_electrodes("front_back")
        return batch.changed(acting(self.p, len(batch), generator), eeg=lambda x: x[..., order])
