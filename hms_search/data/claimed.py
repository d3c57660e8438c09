"""What a recording's file says of its size, before any of it is read: a small file may unpack to a large one."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from hms_search.data.edf_header import is_edf, read_edf_header
from hms_search.data.hms import SFREQ, SPECTROGRAM_STEP_S, kind_of
from hms_search.eeg.shapes import Kind


@dataclass(frozen=True)
class Claimed:
    """A recording's kind, its length in seconds, and the bytes that it unpacks to."""

    kind: Kind
    duration_s: float
    n_bytes: int


def claimed(path: Path) -> Claimed | None:
    """Return what a parquet, EDF or BDF file says of itself; None for others, which are no larger than their files.

    Raises DataError where the file is damaged.
    """
    if is_edf(path):
        return Claimed("eeg", read_edf_header(path).duration_s, path.stat().st_size)
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return None
    kind = kind_of(path)
    metadata = pq.read_metadata(path)
    n_bytes = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    step_s = 1 / SFREQ if kind == "eeg" else SPECTROGRAM_STEP_S
    return Claimed(kind, metadata.num_rows * step_s, n_bytes)
