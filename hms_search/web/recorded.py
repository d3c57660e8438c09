"""A recording as the web app keeps it: whole, and cut into the windows that a model looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from hms_search.data.edf import LoadedRecording, windows
from hms_search.data.hms import (
    EEG_WINDOW,
    SFREQ,
    SPECTROGRAM_STEP_S,
    SPECTROGRAM_WINDOW,
    Kind,
    middle_of,
    window_of,
)
from hms_search.inference.predictor import Recording

EEG_STEP_S = 10
"""Between windows of EEG: the experts labelled the middle ten seconds of each, so these then lie side by side."""
SPECTROGRAM_STEP_ROWS = 30
"""Between windows of a spectrogram: a minute, a tenth of the window."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """What belongs together of one patient: an EEG, a spectrogram, or both."""

    name: str
    parts: Mapping[Kind, LoadedRecording]

    @property
    def eeg(self) -> LoadedRecording | None:
        """The EEG, None where there is none."""
        return self.parts.get("eeg")

    @property
    def duration_s(self) -> float:
        """Its length in seconds, the EEG's where it has one."""
        return (self.eeg or self.parts["spectrogram"]).duration_s

    @cached_property
    def starts_s(self) -> tuple[float, ...]:
        """Where its windows begin; raises DataError where it is too short.

        A pair is one window, the middle of both: its files do not say how they lie to one another.
        """
        if len(self.parts) > 1:
            return ((self.duration_s - self.window_s) / 2,)
        if self.eeg is not None:
            return tuple(start_s for start_s, _ in windows(self.eeg, EEG_STEP_S))
        last = max(len(self.parts["spectrogram"].values) - SPECTROGRAM_WINDOW, 0)
        rows = sorted({*range(0, last + 1, SPECTROGRAM_STEP_ROWS), last})
        return tuple(float(row * SPECTROGRAM_STEP_S) for row in rows)

    @property
    def window_s(self) -> float:
        """The length of a window: 50 s of EEG, 10 minutes of a spectrogram, or a shorter spectrogram whole."""
        if self.eeg is not None:
            return EEG_WINDOW / SFREQ
        return min(float(SPECTROGRAM_WINDOW * SPECTROGRAM_STEP_S), self.duration_s)

    def window(self, number: int) -> Recording:
        """Return one window as a Predictor takes it."""
        if len(self.parts) > 1:
            return {kind: _middle(kind, part.values) for kind, part in self.parts.items()}
        start_s = self.starts_s[number]
        if self.eeg is not None:
            return {"eeg": window_of(self.eeg.values, round(start_s * SFREQ), EEG_WINDOW)}
        rows = round(self.window_s / SPECTROGRAM_STEP_S)
        values = self.parts["spectrogram"].values
        return {"spectrogram": window_of(values, round(start_s / SPECTROGRAM_STEP_S), rows)}

    def where(self, number: int) -> str:
        """Return in words where a window lies: its own time axis begins at 0."""
        if len(self.parts) > 1:
            return "the middle of EEG and spectrogram"
        start_s = self.starts_s[number]
        return f"{start_s:g} to {start_s + self.window_s:g} s of the recording"

    def nearest(self, position_s: float) -> int:
        """Return the window whose middle is nearest to a place in the recording."""
        return int(np.abs(self.middles_s - position_s).argmin())

    @property
    def middles_s(self) -> Float[np.ndarray, " windows"]:
        """Where the middles of its windows lie."""
        return np.array(self.starts_s) + self.window_s / 2


@dataclass(frozen=True)
class Refused:
    """A recording that is not predicted, and why in one line."""

    name: str
    reason: str


Reading = Recorded | Refused


def _middle(kind: Kind, array: np.ndarray) -> np.ndarray:
    if kind == "eeg":
        return middle_of(array)
    rows = min(SPECTROGRAM_WINDOW, len(array))
    return window_of(array, (len(array) - rows) // 2, rows)
