"""Reading a file of FFT samples: log10 magnitudes of 20 derivations at 1 to 24 Hz, one image per window."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from hms_search.data.arrays import read_numbers
from hms_search.errors import DataError

N_DERIVATIONS, N_FREQUENCIES = 20, 24
SUFFIXES = (".npy", ".npz")
_MOST_BYTES = 2**28
"""Larger than any recording: a day of windows of a second, half a second apart, is 330 MB as float32 and refused."""


def read_fft_samples(path: Path) -> Float32[np.ndarray, "samples 20 24"]:
    """Return the samples in a ``.npy`` file, or of the one array in a ``.npz`` file; nothing is unpickled.

    Raises DataError, in one line, where the file cannot be read, claims more than 256 MB, or holds anything but finite
    numbers ``[samples, 20, 24]``.
    """
    axes = ("samples", N_DERIVATIONS, N_FREQUENCIES)
    found = read_numbers(path, axes, what="FFT samples", most_bytes=_MOST_BYTES)
    bad = int((~np.isfinite(found)).any(axis=(1, 2)).sum())
    if bad:
        raise DataError(f"{path.name}: expected finite numbers, found NaN or infinity in {bad} of {len(found)} samples")
    return found
