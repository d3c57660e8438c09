"""A trained model as MLflow's ``python_function`` loads it, without MLflow: recordings in, a table of classes out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32

from hms_search.data.fft_samples import read_fft_samples
from hms_search.data.hms import POWERS, read_log_power
from hms_search.data.seizure_files import types_table
from hms_search.data.submission import votes_table
from hms_search.eeg.histogram import log_power
from hms_search.errors import DataError
from hms_search.inference.predictor import Predictor

PATH, POWER = "spectrogram_path", "power"
"""Columns of the input; a row has a file in the Kaggle layout, or the power itself."""
SEIZURE_PATH, SAMPLES = "seizure_path", "samples"
"""Of a model of seizure types: a row has a file of FFT samples, or the samples themselves."""
_AT_A_TIME = 16


class ServedModel:
    """A predictor with the interface that MLflow calls."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return a DataFrame of the six vote columns, or the eight seizure types, a row per recording; rows sum to 1.

        Parameters
        ----------
        model_input
            A DataFrame with a row per recording: its column ``spectrogram_path`` names a parquet file that this process
            can read, or its column ``power`` holds the power, 0 or more, NaN for missing values, as an array or nested
            lists ``[time, 400]``, of any length. For a model of seizure types ``seizure_path`` names a ``.npy`` or
            ``.npz`` file, or ``samples`` holds log10 magnitudes ``[samples, 20, 24]``.
        params
            ``tta``: ``own`` (the default), ``none``, ``left_right`` or ``flips``.

        Raises DataError for a recording that cannot be read or does not fit the model.
        """
        tta = (params or {}).get("tta", "own")
        seizures = self.predictor.task == "seizure_types"
        recordings = list(_seizures(model_input) if seizures else _recordings(model_input))
        batches = [recordings[first : first + _AT_A_TIME] for first in range(0, len(recordings), _AT_A_TIME)]
        predictions = [self.predictor.predict(batch, tta=tta).probabilities for batch in batches]
        return (types_table if seizures else votes_table)(np.concatenate(predictions))


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model in a folder; MLflow calls this by its name."""
    return ServedModel(Predictor.open(Path(path)))


def _recordings(model_input: Any) -> Iterator[Float16[np.ndarray, "time 400"]]:
    for row, cell in enumerate(_cells(model_input, PATH, POWER)):
        yield read_log_power(Path(cell)) if isinstance(cell, str) else _log_power(cell, row)


def _seizures(model_input: Any) -> Iterator[Float32[np.ndarray, "samples 20 24"]]:
    for row, cell in enumerate(_cells(model_input, SEIZURE_PATH, SAMPLES)):
        yield read_fft_samples(Path(cell)) if isinstance(cell, str) else _samples(cell, row)


def _cells(model_input: Any, path: str, values: str) -> Iterator[Any]:
    """Yield of each row the path of a file, or else its values."""
    columns = [name for name in (path, values) if name in model_input]
    if not columns or not len(model_input):
        found = "no rows" if columns else f"columns {', '.join(map(str, model_input))}"
        raise DataError(f"expected a table of recordings with the column {path} or {values}, found {found}")
    for row, cells in enumerate(zip(*(model_input[name] for name in columns), strict=True)):
        named = dict(zip(columns, cells, strict=True))
        if isinstance(named.get(path), str):
            yield named[path]
        elif isinstance(named.get(values), list | np.ndarray):
            yield named[values]
        else:
            raise DataError(f"row {row}: expected a {path} or {values}, found neither")


def _samples(samples: Any, row: int) -> Float32[np.ndarray, "samples 20 24"]:
    """Return the samples of nested lists or arrays; raises DataError where they are no numbers in such a shape."""
    try:
        return np.asarray([[np.asarray(line, dtype=np.float32) for line in each] for each in samples])
    except (TypeError, ValueError) as error:
        raise DataError(f"row {row}: expected {SAMPLES} as numbers [samples, 20, 24]: {error}") from None


def _log_power(power: Any, row: int) -> Float16[np.ndarray, "time 400"]:
    """Return natural-log power as the Store keeps it; raises DataError where the power is no table of numbers >= 0."""
    try:
        values = np.asarray([np.asarray(line, dtype=np.float32) for line in power])
    except (TypeError, ValueError) as error:
        raise DataError(f"row {row}: expected {POWER} as numbers [time, {len(POWERS)}]: {error}") from None
    if (values < 0).any():
        raise DataError(f"row {row}: expected {POWER} >= 0, found {np.nanmin(values):g}")
    return log_power(values).astype("<f2")
