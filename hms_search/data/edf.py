"""Recordings as files of one each: EDF and BDF, the competition's parquet files, NumPy arrays; always at 200 Hz."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16, Float32
from scipy.signal import resample_poly

from hms_search.data.arrays import read_numbers
from hms_search.data.edf_header import EdfHeader, is_edf, read_edf_header
from hms_search.data.electrode_names import match_electrodes
from hms_search.data.hms import (
    EEG_WINDOW,
    POWERS,
    SFREQ,
    SPECTROGRAM_STEP_S,
    kind_of,
    middle_of,
    read_eeg,
    read_log_power,
    to_microvolts,
    window_of,
)
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.shapes import Kind
from hms_search.errors import ConfigError, DataError

SHORTEST_S = 10
"""The experts' part of a window; what is shorter is no EEG to classify."""

_LOWEST_HZ, _HIGHEST_HZ = 100, 50_000
"""Sampling rates that are read: what EEG is looked at for lies below 50 Hz, and nothing becomes longer than twice."""
_MOST_BYTES = 2**32
"""Of an array: two days in float64."""
_VOLTS = {"uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1.0, "V": 1.0, "uv": 1e-6, "UV": 1e-6, "nV": 1e-9}
"""What MNE's values are multiplied by to be volts: it takes the units that it does not know for volts."""


@dataclass(frozen=True, eq=False)
class LoadedRecording:
    """A recording of one file.

    Attributes
    ----------
    kind
        ``eeg`` or ``spectrogram``.
    values
        EEG: microvolts ``[n_times, 20]`` at 200 Hz in our electrodes' order, NaN where missing. A spectrogram:
        natural-log power ``[time, 400]``. Both float16, as the Store keeps them.
    channels
        The names in the file of what became our electrodes, in their order; "" for an EKG that is not there.
    start
        When the recording began, where the file says so.
    """

    kind: Kind
    values: Float16[np.ndarray, "time column"]
    channels: tuple[str, ...]
    start: datetime | None = None

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return len(self.values) / SFREQ if self.kind == "eeg" else float(len(self.values) * SPECTROGRAM_STEP_S)


def read_recording(path: Path) -> LoadedRecording:
    """Return the recording in a file: EDF, BDF, EEG or spectrogram parquet, or ``.npy`` of ``[n_times, 20]`` at 200 Hz.

    What a file is is told by its content. Nothing is unpickled. Raises DataError, in one line, where it is none of
    these, damaged, or lacks electrodes; ConfigError where MNE is not installed, for EDF and BDF.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror or error}") from None
    if magic[:4] == b"PAR1":
        return _parquet(path)
    if magic[:6] == b"\x93NUMPY":
        return LoadedRecording("eeg", _rounded(_array(path), path), ELECTRODES)
    if is_edf(path):
        return _edf(path)
    raise DataError(f"{path.name}: expected EDF, BDF, parquet or a NumPy array (.npy), found none of these")


def read_edf(path: Path, *, sfreq: float = float(SFREQ)) -> Float32[np.ndarray, "n_times 20"]:
    """Return the microvolts of an EDF or BDF file at a sampling rate; raises as :func:`read_recording`."""
    header = read_edf_header(path)
    return _microvolts(path, header, _matched(path, header), sfreq)[0]


def resampled(
    signals: Float[np.ndarray, "signal n_times"], rate: float, sfreq: float
) -> Float[np.ndarray, "signal n_times2"]:
    """Return signals at another rate, low-passed where it is lower, without a shift; ends go on as a line would."""
    ratio = Fraction(sfreq / rate).limit_denominator(10_000)
    if ratio == 1:
        return signals
    out: Float[np.ndarray, "signal n_times2"] = resample_poly(
        signals, ratio.numerator, ratio.denominator, axis=1, padtype="line"
    )
    return out


def windows(recording: LoadedRecording, step_s: float) -> Iterator[tuple[float, Float16[np.ndarray, "10000 20"]]]:
    """Yield where each window of an EEG begins, in seconds, and the window; the last one ends with the recording.

    An EEG of less than 50 s is one window with NaN around it, so its start is negative. Raises DataError for less than
    10 s, and for a spectrogram.
    """
    n_times = len(recording.values)
    if recording.kind != "eeg":
        raise DataError("expected an EEG to cut windows from, found a spectrogram")
    if n_times < SHORTEST_S * SFREQ:
        raise DataError(f"expected an EEG of {SHORTEST_S} s or more, found {recording.duration_s:g} s")
    last = n_times - EEG_WINDOW
    if last < 0:
        yield last // 2 / SFREQ, middle_of(recording.values)
        return
    for start in sorted({*range(0, last + 1, max(1, round(step_s * SFREQ))), last}):
        yield start / SFREQ, window_of(recording.values, start, EEG_WINDOW)


def _parquet(path: Path) -> LoadedRecording:
    if kind_of(path) == "spectrogram":
        return LoadedRecording("spectrogram", read_log_power(path), POWERS)
    return LoadedRecording("eeg", _rounded(read_eeg(path), path), ELECTRODES)


def _array(path: Path) -> Float32[np.ndarray, "n_times 20"]:
    axes = ("n_times", len(ELECTRODES))
    return read_numbers(path, axes, what=f"microvolts at {SFREQ} Hz", most_bytes=_MOST_BYTES)


def _rounded(eeg: Float[np.ndarray, "n_times 20"], path: Path) -> Float16[np.ndarray, "n_times 20"]:
    if np.isnan(eeg).all():
        raise DataError(f"{path.name}: every value is missing (NaN)")
    return to_microvolts(eeg)


def _edf(path: Path) -> LoadedRecording:
    header = read_edf_header(path)
    matched = _matched(path, header)
    eeg, start = _microvolts(path, header, matched, float(SFREQ))
    names = tuple(header.signals[matched[e]].name if e in matched else "" for e in ELECTRODES)
    return LoadedRecording("eeg", to_microvolts(eeg), names, start)


def _matched(path: Path, header: EdfHeader) -> dict[str, int]:
    """Return the signal of each electrode, one whose rate and unit can be read; raises DataError naming all faults."""
    labels = [signal.label for signal in header.signals]
    try:
        matched = match_electrodes([signal.name for signal in header.signals])
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None
    faults = []
    for number in matched.values():
        signal = header.signals[number]
        if not _LOWEST_HZ <= signal.sfreq <= _HIGHEST_HZ:
            faults.append(f"{signal.name} has {signal.sfreq:g} Hz, expected {_LOWEST_HZ} to {_HIGHEST_HZ} Hz")
        if signal.unit not in _VOLTS:
            faults.append(f"{signal.name} is in {signal.unit!r}, expected uV, mV or V")
        if not signal.has_ranges:
            faults.append(f"{signal.name} has the ranges {signal.physical} and {signal.digital}, which say nothing")
        if labels.count(signal.label) > 1:
            faults.append(f"several signals are called {signal.name}")
    if faults:
        raise DataError(f"{path.name}: {'; '.join(faults)}")
    return matched


def _microvolts(
    path: Path, header: EdfHeader, matched: dict[str, int], sfreq: float
) -> tuple[Float32[np.ndarray, "n_times 20"], datetime | None]:
    """Return the electrodes at a sampling rate, NaN for an EKG that is not there, and when the recording began."""
    eeg = np.full((round(header.duration_s * sfreq), len(ELECTRODES)), np.nan, dtype=np.float32)
    start = None
    by_rate: dict[float, list[str]] = {}
    for electrode, number in matched.items():
        by_rate.setdefault(header.signals[number].sfreq, []).append(electrode)
    for rate, electrodes in by_rate.items():
        numbers = [matched[electrode] for electrode in electrodes]
        volts, start = _volts(path, header, numbers)
        scale = np.array([[1e6 * _VOLTS[header.signals[number].unit]] for number in numbers])
        signals = resampled(volts * scale, rate, sfreq)[:, : len(eeg)]
        eeg[: signals.shape[1], [ELECTRODES.index(electrode) for electrode in electrodes]] = signals.T
    return eeg, start


def _volts(
    path: Path, header: EdfHeader, numbers: Sequence[int]
) -> tuple[Float[np.ndarray, "signal n_times"], datetime | None]:
    """Return what MNE reads of signals of one rate, which it takes for volts."""
    try:
        from mne.io import read_raw_bdf, read_raw_edf
    except ImportError:
        raise ConfigError(
            'EDF and BDF files need the package mne, found none; pip install "hms-search[edf]", or convert the file'
        ) from None
    read = read_raw_edf if header.kind == "EDF" else read_raw_bdf
    labels = [header.signals[number].label for number in numbers]
    try:
        with path.open("rb") as file:  # an open one, so that the file's suffix does not matter
            raw = read(file, include=labels, preload=True, encoding="latin1", verbose="ERROR")
    except (OSError, ValueError, TypeError, RuntimeError, AssertionError) as error:  # of a header that lies
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path.name}: not a readable {header.kind} file: {reason}") from None
    return raw.get_data(picks=labels, verbose="ERROR"), raw.info["meas_date"]
