"""A recording as the web app keeps it: whole, and cut into the windows that a model looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32

from hms_search.data.edf import LoadedRecording
from hms_search.data.hms import Kind
from hms_search.web.windows import Cut, cut_of


@dataclass(frozen=True, eq=False)
class Recorded:
    """What belongs together of one patient: an EEG, a spectrogram, or both.

    For a model of seizure types ``samples`` are what it looks at: the FFT samples of a file, or those of the EEG.
    """

    name: str
    parts: Mapping[Kind, LoadedRecording]
    samples: Float32[np.ndarray, "samples 20 24"] | None = None

    @property
    def eeg(self) -> LoadedRecording | None:
        """The EEG, None where there is none."""
        return self.parts.get("eeg")

    @property
    def duration_s(self) -> float:
        """Its length in seconds, the EEG's where it has one; 0 of FFT samples alone, which do not say."""
        part = self.eeg or self.parts.get("spectrogram")
        return part.duration_s if part else 0.0

    @cached_property
    def cut(self) -> Cut:
        """Its windows."""
        return cut_of(self.parts, self.samples, self.duration_s)

    def nearest(self, position_s: float) -> int:
        """Return the window whose middle is nearest to a place in the recording."""
        return int(np.abs(self.middles_s - position_s).argmin())

    @property
    def middles_s(self) -> Float[np.ndarray, " windows"]:
        """Where the middles of its windows lie."""
        return np.array(self.cut.starts_s) + self.cut.window_s / 2


@dataclass(frozen=True)
class Refused:
    """A recording that is not predicted, and why in one line."""

    name: str
    reason: str


Reading = Recorded | Refused
