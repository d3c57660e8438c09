"""Whether a Store is as it was written: its tables against its fingerprint, its shards against its tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from hms_search.data.index import MANIFEST, content_fingerprint, read_manifest
from hms_search.data.shards import DTYPE, N_COLUMNS, SHARDS


def store_faults(path: Path) -> list[str]:
    """Return what is wrong with a prepared folder, one line each; no recording is read."""
    manifest = read_manifest(path)
    if manifest is None:
        return [f"no {MANIFEST} of this version: preparing it was interrupted, or another version wrote it"]
    try:
        index = pd.read_parquet(path / "index.parquet")
        recordings = pd.read_parquet(path / "recordings.parquet")
        counts = np.load(path / "counts.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return [f"its tables cannot be read: {' '.join(str(error).split())}"]
    faults = []
    if len(counts) != (recordings["kind"] == "spectrogram").sum():
        faults.append(f"counts.npy has {len(counts)} lines, another number than there are spectrograms")
    if content_fingerprint(index, recordings) != manifest["content"]:
        faults.append(f"its tables are not those whose fingerprint stands in {MANIFEST}")
    widths = {str(kind): n_columns for kind, n_columns in N_COLUMNS.items()}
    for (name, kind), shard in recordings.groupby(["shard", "kind"]):
        file = path / SHARDS / f"{name}.f16"
        expected = int(shard["length"].sum()) * widths[str(kind)] * DTYPE.itemsize
        found = file.stat().st_size if file.is_file() else 0
        if found != expected:
            faults.append(f"{file.name} has {found} bytes, expected {expected}")
    return faults
