"""Reading an array from a NumPy file that may lie: nothing is unpickled, and nothing is read by an unchecked header."""

import math
import zipfile
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import Float32, Shaped
from numpy.lib import format as npy

from hms_search.errors import DataError

_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What damaged files raise; RuntimeError also for archives with a password or of an unknown compression."""


def holds_array(path: Path) -> bool:
    """Return whether a file begins as a ``.npy`` or ``.npz`` file, whatever it is called; raises DataError."""
    try:
        with path.open("rb") as file:
            return file.read(len(_NPY)).startswith((_NPY, _ZIP))
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read: {error.strerror or error}") from None


def read_numbers(path: Path, axes: tuple[str | int, ...], *, what: str, most_bytes: int) -> Float32[np.ndarray, "..."]:
    """Return the array of numbers in a ``.npy`` file, or the one array in a ``.npz`` file, as float32.

    ``axes`` are the lengths that it must have, or the names of those that may have any but 0; ``what`` is what it is
    called. Raises DataError, in one line, where the file cannot be read or holds anything else, or more than
    ``most_bytes``.
    """
    wanted = f"{path.name}: expected {what} [{_shown(axes)}], found"
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            found = _unzipped(file, axes, most_bytes) if zipped else _array(file, axes, most_bytes)
    except _Otherwise as error:
        raise DataError(f"{wanted} {error}") from None
    except UNREADABLE as error:
        reason = (str(error) or "it ends too early").splitlines()[0]
        raise DataError(f"{wanted} no readable array: {reason}") from None
    with np.errstate(over="ignore"):  # of float64, beyond float32 lies infinity
        return np.asarray(found, dtype=np.float32)


def read_arrays(path: Path, *needed: str) -> dict[str, np.ndarray]:
    """Return the arrays of a ``.npz`` file of our own by name, the ``needed`` among them.

    None are returned where there is no such file, or a damaged one, or another kind of archive.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            found = {name: content[name] for name in content.files}
    except UNREADABLE:
        return {}
    is_ours = found.keys() >= set(needed) and all(isinstance(one, np.ndarray) for one in found.values())
    return found if is_ours else {}


class _Otherwise(ValueError):
    """What was found in place of what was expected."""


def _unzipped(file: BufferedIOBase, axes: tuple[str | int, ...], most_bytes: int) -> Shaped[np.ndarray, "..."]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) != 1:
            raise _Otherwise(f"{len(members)} arrays in one file; save one")
        with archive.open(members[0]) as member:
            return _array(cast(BufferedIOBase, member), axes, most_bytes)


def _array(file: BufferedIOBase, axes: tuple[str | int, ...], most_bytes: int) -> Shaped[np.ndarray, "..."]:
    """Return the array in an open ``.npy`` file; no more of it is read, or unpacked, than an array of its size has."""
    read_header = _HEADERS.get(npy.read_magic(file))
    if read_header is None:
        raise _Otherwise("another format of NumPy's than 1.0 and 2.0, which np.save writes")
    shape, fortran_order, dtype = read_header(file)
    if dtype.hasobject:
        raise _Otherwise("Python objects, which are not unpickled")
    if dtype.kind not in "fiu":
        raise _Otherwise(f"values of type {dtype}")
    fits = [size > 0 if isinstance(axis, str) else size == axis for size, axis in zip(shape, axes, strict=False)]
    if len(shape) != len(axes) or not all(fits):
        raise _Otherwise(f"[{_shown(shape)}]")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > most_bytes:
        raise _Otherwise(f"a claim of {n_bytes} bytes, more than {most_bytes}")
    content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise _Otherwise(f"{len(content)} bytes of the {n_bytes} that it claims")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


def _shown(axes: tuple[str | int, ...]) -> str:
    return ", ".join(map(str, axes))
