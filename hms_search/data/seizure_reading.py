"""A file as a model of seizure types takes it: FFT samples, or an EEG that they are made of."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from hms_search.data.arrays import holds_array
from hms_search.data.edf import LoadedRecording, read_edf, read_recording, resampled
from hms_search.data.edf_header import is_edf
from hms_search.data.fft_samples import read_fft_samples
from hms_search.data.hms import SFREQ as EEG_SFREQ
from hms_search.data.seizure_recordings import SFREQ, WINDOW, fft_samples
from hms_search.errors import DataError

FftSamples = Float32[np.ndarray, "samples 20 24"]


def read_seizure(path: Path) -> tuple[LoadedRecording | None, FftSamples]:
    """Return the EEG in a file and its FFT samples, or FFT samples alone.

    FFT samples are NumPy arrays, EEG is EDF, BDF or the competition's parquet. Raises DataError, in one line, where the
    file has neither, cannot be read, lacks electrodes, lasts less than a second, or has gaps.
    """
    if holds_array(path):
        return None, read_fft_samples(path)
    loaded = read_recording(path)
    if loaded.kind != "eeg":
        raise DataError(f"{path.name}: expected EEG or FFT samples, at which the model looks, found a spectrogram")
    eeg = _at_published_rate(path, loaded)
    if len(eeg) < WINDOW:
        raise DataError(f"{path.name}: expected an EEG of a second or more, found {loaded.duration_s:g} s")
    samples = fft_samples(eeg)
    bad = int((~np.isfinite(samples)).any(axis=(1, 2)).sum())
    if bad:
        raise DataError(
            f"{path.name}: expected an EEG without gaps, found some in {bad} of {len(samples)} windows of a second"
        )
    return loaded, samples


def read_seizure_samples(path: Path) -> FftSamples:
    """Return the FFT samples in a file, or of the EEG in it; raises as :func:`read_seizure`."""
    return read_seizure(path)[1]


def _at_published_rate(path: Path, loaded: LoadedRecording) -> Float[np.ndarray, "n_times 20"]:
    if is_edf(path):
        return read_edf(path, sfreq=float(SFREQ))
    eeg: np.ndarray = resampled(loaded.values.astype(np.float32).T, float(EEG_SFREQ), float(SFREQ)).T
    return eeg
