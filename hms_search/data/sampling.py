"""Which samples a study trains on: four rules that turn rows of ``train.csv`` into samples.

A rule sees the usable rows only and returns one line per sample; the Store then cuts the windows. Every rule is one
small component, and :data:`Sampling` is the list of them.
"""

from typing import Annotated, Literal

from hms_search.component import Component, Field
from hms_search.data.labels import HIGH_VOTES

OnePerEeg = Annotated[
    bool,
    Field(description="An epoch trains on one random window of each EEG; the first of each is validated."),
]
"""15th place. Not an option of training: values of different validation rows cannot be compared in one study."""


class SpectrogramSampling(Component):
    """One sample per spectrogram: the whole file, the votes of all its rows summed (the public baseline)."""

    name: Literal["spectrogram"] = "spectrogram"


class EegMiddleSampling(Component):
    """One sample per EEG: the middle window, the votes of all its rows summed (Deotte's starter notebooks).

    The spectrogram is the first the EEG names; its window starts at row ``int((min + max) // 4)`` of the offsets in
    seconds. The EEG window is the middle 10,000 samples of the file.
    """

    name: Literal["eeg_middle"] = "eeg_middle"


class LabelSampling(Component):
    """One sample per labelled window, that is per row of ``train.csv``."""

    name: Literal["label"] = "label"
    one_per_eeg: OnePerEeg = False


class MaxVoteSampling(Component):
    """Windows of the rows with most votes of each EEG, at least ``spacing_s`` apart (15th place: 25 and 50 s)."""

    name: Literal["max_vote"] = "max_vote"
    min_votes: int = Field(default=HIGH_VOTES, ge=1, description="Rows with fewer votes are left out.")
    spacing_s: float = Field(default=50.0, gt=0, description="Least distance of two windows of an EEG in seconds.")
    one_per_eeg: OnePerEeg = False


Sampling = Annotated[
    SpectrogramSampling | EegMiddleSampling | LabelSampling | MaxVoteSampling, Field(discriminator="name")
]
