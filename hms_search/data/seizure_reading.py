"""A file as a model of seizure types takes it: FFT samples, or a recording that they are made of."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from hms_search.data.edf import read_edf
from hms_search.data.fft_samples import SUFFIXES, read_fft_samples
from hms_search.data.seizure_recordings import SFREQ, WINDOW, fft_samples
from hms_search.errors import DataError


def read_seizure_samples(path: Path) -> Float32[np.ndarray, "samples 20 24"]:
    """Return the FFT samples in a ``.npy`` or ``.npz`` file, or those of a whole EDF or BDF recording.

    Raises DataError, in one line, where the file cannot be read, lacks electrodes, or lasts less than a second.
    """
    if path.suffix.lower() in SUFFIXES:
        return read_fft_samples(path)
    eeg = read_edf(path, sfreq=float(SFREQ))
    if len(eeg) < WINDOW:
        raise DataError(f"{path.name}: expected a recording of a second or more, found {len(eeg) / SFREQ:g} s")
    return fft_samples(eeg)
