"""The header of an EDF or BDF file, checked against the file before anything is read by it.

Kemp et al. 1992, https://www.edfplus.info/specs/edf.html: 256 bytes of text on the recording, 256 on each signal, then
records of all signals in turn, 2 bytes a sample (BDF: 3).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hms_search.errors import DataError

_BLOCK = 256
_WIDTHS = {
    **{"label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8},
    **{"digital_min": 8, "digital_max": 8, "prefilter": 80, "samples": 8, "reserved": 32},
}
"""Bytes of each field of a signal, in their order."""
_LARGEST = 1e12
"""Of a range; in nanovolts it would be a kilovolt."""


@dataclass(frozen=True)
class Signal:
    """One signal of a file: its label as written, its unit, its ranges, and its samples per second."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    sfreq: float

    @property
    def name(self) -> str:
        """The label without what cannot be printed."""
        return "".join(letter for letter in self.label if letter.isprintable())

    @property
    def has_ranges(self) -> bool:
        """Whether what was digitised can be told from its ranges: neither is empty or beyond all measure."""
        ranges = (self.physical, self.digital)
        return all(abs(high - low) > 0 and max(abs(low), abs(high)) <= _LARGEST for low, high in ranges)


@dataclass(frozen=True)
class EdfHeader:
    """What a file says of itself, as far as it is needed; ``kind`` is ``EDF`` or ``BDF``."""

    kind: str
    signals: tuple[Signal, ...]
    duration_s: float


def read_edf_header(path: Path) -> EdfHeader:
    """Return the header of a file; raises DataError where it is none, or the file is not as long as it says."""
    try:
        with path.open("rb") as file:
            return _header(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: not a readable EDF or BDF file: {error}") from None


def is_edf(path: Path) -> bool:
    """Return whether a file begins as EDF or BDF."""
    with path.open("rb") as file:
        return file.read(8) in _VERSIONS


_VERSIONS = {b"0       ": "EDF", b"\xffBIOSEMI": "BDF"}


def _header(file: BinaryIO) -> EdfHeader:
    size = os.fstat(file.fileno()).st_size
    fixed = file.read(_BLOCK)
    if len(fixed) < _BLOCK or fixed[:8] not in _VERSIONS:
        raise ValueError("it does not begin with the header of one")
    kind = _VERSIONS[fixed[:8]]
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError("its records are not contiguous (EDF+D); export it without gaps")
    length, records, count = (int(fixed[a:b]) for a, b in ((184, 192), (236, 244), (252, 256)))
    record_s = _positive(fixed[244:252], "the length of a record")
    if count < 1 or length != _BLOCK * (count + 1):
        raise ValueError(f"expected a header of 256 bytes and 256 for each of {count} signals, it says {length}")
    fields = {name: [file.read(width) for _ in range(count)] for name, width in _WIDTHS.items()}
    samples = [int(text) for text in fields["samples"]]
    if min(samples) < 0 or records < 1:
        raise ValueError(f"expected records of samples, it says {records} of {min(samples)} or more")
    expected = length + records * sum(samples) * (2 if kind == "EDF" else 3)
    if size != expected:
        fault = "it is truncated" if size < expected else "it is longer than its header says"
        raise ValueError(f"{fault}: expected {expected} bytes of {records} records, found {size}")
    labels, units = ([text.strip().decode("latin-1") for text in fields[name]] for name in ("label", "unit"))
    physical, digital = (
        zip(map(float, fields[f"{what}_min"]), map(float, fields[f"{what}_max"]), strict=True)
        for what in ("physical", "digital")
    )
    rates = [number / record_s for number in samples]
    signals = tuple(Signal(*each) for each in zip(labels, units, physical, digital, rates, strict=True))
    return EdfHeader(kind, signals, records * record_s)


def _positive(text: bytes, what: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(f"expected {what} above 0 s, it says {number:g}")
    return number
