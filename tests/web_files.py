"""Files of synthetic recordings of any length, as somebody uploads them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hms_search.data.hms import COLUMNS, SCHEMAS, Kind
from hms_search.web.example import synthetic_example


def microvolts(seconds: int) -> np.ndarray:
    """A synthetic EEG of any length, float32."""
    eeg = synthetic_example(frozenset({"eeg"})).parts["eeg"].values.astype(np.float32)
    return np.resize(eeg, (seconds * 200, 20))


def write_parquet(path: Path, kind: Kind, values: np.ndarray) -> Path:
    """Write an EEG ``[n_times, 20]`` or power ``[time, 400]`` as the competition does."""
    columns = [1 + 2 * np.arange(len(values))] if kind == "spectrogram" else []
    arrays = [pa.array(column) for column in (*columns, *values.T.astype(np.float32))]
    pq.write_table(pa.table(dict(zip(COLUMNS[kind], arrays, strict=True)), schema=SCHEMAS[kind]), path)
    return path
