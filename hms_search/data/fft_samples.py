"""Reading a file of FFT samples: log10 magnitudes of 20 derivations at 1 to 24 Hz, one image per window."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from hms_search.errors import DataError

N_DERIVATIONS, N_FREQUENCIES = 20, 24
SUFFIXES = (".npy", ".npz")
_N_DIMS = 3
_MOST_BYTES = 2**28
"""Larger than any recording: a day of windows of a second, half a second apart, is 330 MB as float32 and refused."""


def read_fft_samples(path: Path) -> Float32[np.ndarray, "samples 20 24"]:
    """Return the samples in a ``.npy`` file, or of the one array in a ``.npz`` file; nothing is unpickled.

    Raises DataError, in one line, where the file cannot be read, claims more than 256 MB, or holds anything but finite
    numbers ``[samples, 20, 24]``.
    """
    try:
        samples = _compressed(path) if path.suffix == ".npz" else np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise DataError(
            f"{path.name}: expected a NumPy file with an array of numbers, cannot read it: {reason}"
        ) from None
    return _checked(samples, path.name)


def _compressed(path: Path) -> Shaped[np.ndarray, "..."]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} arrays; save one")
        if members[0].file_size > _MOST_BYTES:
            raise ValueError(f"its array claims {members[0].file_size} bytes, more than {_MOST_BYTES}")
    with np.load(path, allow_pickle=False) as arrays:
        array: np.ndarray = arrays[arrays.files[0]]
        return array


def _checked(samples: Shaped[np.ndarray, "..."], name: str) -> Float32[np.ndarray, "samples 20 24"]:
    shape = " x ".join(map(str, samples.shape))
    if samples.ndim != _N_DIMS or samples.shape[1:] != (N_DERIVATIONS, N_FREQUENCIES) or not len(samples):
        raise DataError(f"{name}: expected samples x {N_DERIVATIONS} x {N_FREQUENCIES} numbers, found {shape or 'one'}")
    if samples.dtype.kind not in "fiu":
        raise DataError(f"{name}: expected real numbers, found type {samples.dtype}")
    if samples.nbytes > _MOST_BYTES:
        raise DataError(f"{name}: expected at most {_MOST_BYTES} bytes, found {samples.nbytes} ({shape})")
    found = np.asarray(samples, dtype=np.float32)
    bad = int((~np.isfinite(found)).any(axis=(1, 2)).sum())
    if bad:
        raise DataError(f"{name}: expected finite numbers, found NaN or infinity in {bad} of {len(found)} samples")
    return found
