"""How recordings are cut into windows, one way for each kind of model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Float16, Float32

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
from hms_search.data.seizure_recordings import SAMPLE_STEP_S
from hms_search.inference.predictor import Recording

EEG_STEP_S = 10
"""Between windows of EEG: the experts labelled the middle ten seconds of each, so these then lie side by side."""
SPECTROGRAM_STEP_ROWS = 30
"""Between windows of a spectrogram: a minute, a tenth of the window."""
SEIZURE_WINDOW_S, SEIZURE_STEP_S = 30, 10
"""Of an EEG whose seizure type is asked for: as long as seizures of the published files, some 2 to 50 s."""


class Cut(Protocol):
    """Windows of a recording: where each begins, in seconds, and how long one is."""

    @property
    def starts_s(self) -> tuple[float, ...]:
        """Where the windows begin; raises DataError where the recording is too short for one."""

    @property
    def window_s(self) -> float:
        """The length of a window; 0 where nobody knows."""

    def window(self, number: int) -> Recording:
        """Return one window as a Predictor takes it."""

    def where(self, number: int) -> str:
        """Return in words where a window lies: its own time axis begins at 0."""


def cut_of(
    parts: Mapping[Kind, LoadedRecording], samples: Float32[np.ndarray, "samples 20 24"] | None, duration_s: float
) -> Cut:
    """Return the windows of an EEG, a spectrogram, a pair of both, or of FFT samples, with or without their EEG."""
    if samples is not None:
        return _Seizure(samples, duration_s)
    if len(parts) > 1:
        return _Middle(parts, duration_s)
    (part,) = parts.values()
    return _Eeg(part) if part.kind == "eeg" else _Spectrogram(part.values, duration_s)


@dataclass(frozen=True, eq=False)
class _Eeg:
    """50 s of EEG, every ten seconds."""

    eeg: LoadedRecording
    window_s = EEG_WINDOW / SFREQ

    @cached_property
    def starts_s(self) -> tuple[float, ...]:
        return tuple(start_s for start_s, _ in windows(self.eeg, EEG_STEP_S))

    def window(self, number: int) -> Recording:
        return {"eeg": window_of(self.eeg.values, round(self.starts_s[number] * SFREQ), EEG_WINDOW)}

    def where(self, number: int) -> str:
        return _between(self, number)


@dataclass(frozen=True, eq=False)
class _Spectrogram:
    """Ten minutes of a spectrogram, every minute; a shorter one whole."""

    values: Float16[np.ndarray, "time 400"]
    duration_s: float

    @property
    def window_s(self) -> float:
        return min(float(SPECTROGRAM_WINDOW * SPECTROGRAM_STEP_S), self.duration_s)

    @cached_property
    def starts_s(self) -> tuple[float, ...]:
        rows = _every(SPECTROGRAM_STEP_ROWS, len(self.values) - SPECTROGRAM_WINDOW)
        return tuple(float(row * SPECTROGRAM_STEP_S) for row in rows)

    def window(self, number: int) -> Recording:
        first, rows = (round(seconds / SPECTROGRAM_STEP_S) for seconds in (self.starts_s[number], self.window_s))
        return {"spectrogram": window_of(self.values, first, rows)}

    def where(self, number: int) -> str:
        return _between(self, number)


@dataclass(frozen=True, eq=False)
class _Middle:
    """The middle of an EEG and of its spectrogram: their files do not say how they lie to one another."""

    parts: Mapping[Kind, LoadedRecording]
    duration_s: float
    window_s = EEG_WINDOW / SFREQ

    @property
    def starts_s(self) -> tuple[float, ...]:
        return ((self.duration_s - self.window_s) / 2,)

    def window(self, number: int) -> Recording:  # noqa: ARG002 - there is one
        spectrogram = self.parts["spectrogram"].values
        rows = min(SPECTROGRAM_WINDOW, len(spectrogram))
        middle = window_of(spectrogram, (len(spectrogram) - rows) // 2, rows)
        return {"eeg": middle_of(self.parts["eeg"].values), "spectrogram": middle}

    def where(self, number: int) -> str:  # noqa: ARG002 - there is one
        return "the middle of EEG and spectrogram"


@dataclass(frozen=True, eq=False)
class _Seizure:
    """FFT samples: all of a file's, or 30 s of those of an EEG, every ten seconds."""

    samples: Float32[np.ndarray, "samples 20 24"]
    duration_s: float

    @property
    def window_s(self) -> float:
        return min(self.duration_s, float(SEIZURE_WINDOW_S))

    @cached_property
    def starts_s(self) -> tuple[float, ...]:
        last = int((self.duration_s - self.window_s) / SAMPLE_STEP_S)
        return tuple(row * SAMPLE_STEP_S for row in _every(int(SEIZURE_STEP_S / SAMPLE_STEP_S), last))

    def window(self, number: int) -> Recording:
        if not self.duration_s:
            return {"fft": self.samples}
        first = int(self.starts_s[number] / SAMPLE_STEP_S)
        # a sample is of a second, so the last one of a window begins a second before its end
        return {"fft": self.samples[first : first + int((self.window_s - 1) / SAMPLE_STEP_S) + 1]}

    def where(self, number: int) -> str:
        return _between(self, number) if self.duration_s else f"all {len(self.samples)} samples"


def _every(step: int, last: int) -> list[int]:
    """Return 0, ``step``, ... and ``last``, which is 0 where it would be less."""
    return sorted({*range(0, max(last, 0) + 1, step), max(last, 0)})


def _between(cut: Cut, number: int) -> str:
    start_s = cut.starts_s[number]
    return f"{start_s:g} to {start_s + cut.window_s:g} s of the recording"
