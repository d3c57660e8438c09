"""Shards: the flat float16 files of a Store, and the side file that says what lies where in each.

``spectrogram-0003.f16`` holds natural-log power ``[rows, 400]``, ``eeg-0003.f16`` microvolts ``[rows, 20]``, several
recordings one after the other, little-endian float16, no header.

What float16 costs, on the 50 real recordings of ``tests/data/test_shards.py``: log power is off by 0.0010 RMS (0.10 %
of the power), by 0.0039 at most between -16 and 16, and by 0.0124 at most (a power of 1e-15); microvolts by 0.023 % RMS
and 0.049 % at most.

A shard is written under temporary names and renamed, the side file last. So a shard either is complete or is not there,
and a killed ``prepare`` goes on with the next one.
"""

import hashlib
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float16, Int

from hms_search.data.arrays import read_arrays
from hms_search.data.atomic import replacing
from hms_search.data.hms import COLUMNS, Kind, read_log_power, read_microvolts
from hms_search.eeg.histogram import count_log_power
from hms_search.errors import DataError

SHARDS = "shards"
"""Folder of a Store that holds them."""
DTYPE = np.dtype("<f2")
N_COLUMNS: dict[Kind, int] = {"eeg": len(COLUMNS["eeg"]), "spectrogram": len(COLUMNS["spectrogram"]) - 1}


@dataclass(frozen=True)
class ShardTask:
    """A shard to write: the recordings in it, and the key that changes when one of their files does."""

    folder: Path
    name: str
    kind: Kind
    paths: tuple[Path, ...]
    key: str
    n_bytes: int


@dataclass(frozen=True)
class Shard:
    """What a written shard holds: per recording its id, rows, missing share and digest; and the files refused."""

    key: str
    ids: Int[np.ndarray, " recordings"]
    lengths: Int[np.ndarray, " recordings"]
    nan_shares: Float[np.ndarray, " recordings"]
    digests: np.ndarray
    counts: Int[np.ndarray, "recordings counts"]
    refused_ids: Int[np.ndarray, " refused"]
    reasons: np.ndarray


def shard_size(n_recordings: int) -> int:
    """Return how many recordings go into a shard: 8 for a small folder, 64 for a large one."""
    return min(64, max(8, n_recordings // 64))


def write_shard(task: ShardTask) -> ShardTask:
    """Read the files of a shard, write it, and return the task; an unusable file is noted in the side file."""
    stem = task.folder / task.name
    stem.with_suffix(".npz").unlink(missing_ok=True)
    kept: list[tuple[int, int, float, str]] = []
    counts: list[np.ndarray] = []
    refused: list[tuple[int, str]] = []
    with replacing(stem.with_suffix(".f16")) as partial, partial.open("wb", buffering=0) as file:
        for path in task.paths:
            try:
                array, count = _load(path, task.kind)
            except DataError as error:
                refused.append((int(path.stem), str(error)))
                continue
            _write_whole(file, array)
            digest = hashlib.sha256(array.data).hexdigest()[:32]
            kept.append((int(path.stem), len(array), float(count[-1]) / array.size, digest))
            counts.append(count)
    with replacing(stem.with_suffix(".npz")) as partial, partial.open("wb") as side:
        np.savez(
            side,
            key=np.array(task.key),
            ids=np.array([k[0] for k in kept], dtype=np.int64),
            lengths=np.array([k[1] for k in kept], dtype=np.int64),
            nan_shares=np.array([k[2] for k in kept], dtype=np.float64),
            digests=np.array([k[3] for k in kept], dtype="U32"),
            counts=np.array(counts, dtype=np.uint32).reshape(len(counts), -1 if counts else 0),
            refused_ids=np.array([r[0] for r in refused], dtype=np.int64),
            reasons=np.array([r[1] for r in refused], dtype=np.str_),
        )
    return task


def read_shard(task: ShardTask) -> Shard | None:
    """Return what a shard holds, or None where it is missing, incomplete, damaged or made from other files."""
    stem = task.folder / task.name
    side = read_arrays(stem.with_suffix(".npz"), "key")
    if not side or side.pop("key").item() != task.key:
        return None
    shard = Shard(**side, key=task.key)
    try:
        n_bytes = stem.with_suffix(".f16").stat().st_size
    except OSError:
        return None
    return shard if n_bytes == shard.lengths.sum() * N_COLUMNS[task.kind] * DTYPE.itemsize else None


def _load(path: Path, kind: Kind) -> tuple[Float16[np.ndarray, "rows columns"], Int[np.ndarray, " counts"]]:
    """Return a recording as it is stored, and counts whose last entry is the number of missing values."""
    if kind == "spectrogram":
        log_power = read_log_power(path)
        return log_power, count_log_power(log_power)
    signal = read_microvolts(path)
    return signal, np.array([np.count_nonzero(np.isnan(signal))])


def _write_whole(file: FileIO, array: Float16[np.ndarray, "rows columns"]) -> None:
    """Write an array through an unbuffered file, which may take a large one in parts."""
    rest = array.data.cast("B")
    while rest:
        rest = rest[file.write(rest) :]
