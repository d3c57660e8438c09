"""What a recording's file says of its size, before any of it is read: a small file may unpack to a large one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hms_search.data.edf_header import is_edf, read_edf_header
from hms_search.data.hms import SFREQ, SPECTROGRAM_STEP_S, kind_of
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError


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
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.num_rows for group in groups) != metadata.num_rows or any(map(_lies, groups)):
        raise DataError(
            f"{path.name}: not a readable parquet file: its columns hold other numbers of rows than it says"
        )
    n_bytes = sum(group.total_byte_size for group in groups)
    step_s = 1 / SFREQ if kind == "eeg" else SPECTROGRAM_STEP_S
    return Claimed(kind, metadata.num_rows * step_s, n_bytes)


def _lies(group: Any) -> bool:
    """Return whether columns of a row group hold other numbers of values than it has rows: so many would be read."""
    return any(group.column(number).num_values != group.num_rows for number in range(group.num_columns))
