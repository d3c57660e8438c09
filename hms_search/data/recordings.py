"""The stored recordings as memory-mapped float16 arrays."""

from copy import copy
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float16, Int

from hms_search.data.hms import KINDS, Kind
from hms_search.data.shards import DTYPE, N_COLUMNS, SHARDS
from hms_search.errors import DataError


class Recordings:
    """Windows of stored recordings; a shard is mapped when it is first read."""

    def __init__(self, path: Path, table: pd.DataFrame) -> None:
        self._folder = path / SHARDS
        self._mapped: dict[str, np.ndarray] = {}
        tables = {kind: table[table["kind"] == kind] for kind in KINDS}
        self._shards = {kind: tables[kind]["shard"].tolist() for kind in KINDS}
        self._firsts = {kind: tables[kind]["start"].tolist() for kind in KINDS}
        self.lengths: dict[Kind, Int[np.ndarray, " recordings"]] = {
            kind: tables[kind]["length"].to_numpy(dtype=np.int64) for kind in KINDS
        }

    def window(self, kind: Kind, number: int, start: int, length: int) -> Float16[np.ndarray, "rows columns"]:
        """Return ``length`` rows of a recording from row ``start``, NaN where they lie outside it.

        A window inside the recording is a read-only view of the file.
        """
        first, n_rows = self._firsts[kind][number], int(self.lengths[kind][number])
        low, high = min(max(start, 0), n_rows), max(min(start + length, n_rows), 0)
        inside = self._shard(kind, self._shards[kind][number])[first + low : first + max(low, high)]
        if len(inside) == length:
            return inside
        window = np.full((length, N_COLUMNS[kind]), np.nan, dtype=DTYPE)
        window[low - start : low - start + len(inside)] = inside
        return window

    def read_now(self) -> "Recordings":
        """Return the same recordings with all shards mapped: pickled, they are whole, where files would be missing."""
        whole = copy(self)
        names = {(kind, name) for kind in KINDS for name in self._shards[kind]}
        whole._mapped = {name: self._shard(kind, name) for kind, name in names}
        return whole

    def _shard(self, kind: Kind, name: str) -> np.ndarray:
        if name not in self._mapped:
            path = self._folder / f"{name}.f16"
            try:
                flat = np.memmap(path, dtype=DTYPE, mode="r")
            except (OSError, ValueError) as error:
                raise DataError(f"the Store lost {path}: {error}; prepare the data folder again") from error
            self._mapped[name] = np.asarray(flat).reshape(-1, N_COLUMNS[kind])
        return self._mapped[name]
