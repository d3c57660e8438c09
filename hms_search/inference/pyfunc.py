"""A trained model as MLflow's ``python_function`` loads it, without MLflow: recordings in, a table of votes out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16

from hms_search.data.hms import POWERS, read_log_power
from hms_search.data.submission import votes_table
from hms_search.eeg.histogram import log_power
from hms_search.errors import DataError
from hms_search.inference.predictor import Predictor

PATH, POWER = "spectrogram_path", "power"
"""Columns of the input; a row has a file in the Kaggle layout, or the power itself."""
_AT_A_TIME = 16


class VotesModel:
    """A predictor with the interface that MLflow calls."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return a DataFrame of the six vote columns, a row per recording, in order; rows sum to 1.

        Parameters
        ----------
        model_input
            A DataFrame with a row per recording: its column ``spectrogram_path`` names a parquet file that this process
            can read, or its column ``power`` holds the power, 0 or more, NaN for missing values, as an array or nested
            lists ``[time, 400]``, of any length.
        params
            ``tta``: ``own`` (the default), ``none``, ``left_right`` or ``flips``.

        Raises DataError for a recording that cannot be read or does not fit the model.
        """
        tta = (params or {}).get("tta", "own")
        recordings = list(_recordings(model_input))
        batches = [recordings[first : first + _AT_A_TIME] for first in range(0, len(recordings), _AT_A_TIME)]
        predictions = [self.predictor.predict(batch, tta=tta).probabilities for batch in batches]
        return votes_table(np.concatenate(predictions))


def _load_pyfunc(path: str) -> VotesModel:
    """Return the model in a folder; MLflow calls this by its name."""
    return VotesModel(Predictor.open(Path(path)))


def _recordings(model_input: Any) -> Iterator[Float16[np.ndarray, "time 400"]]:
    columns = [name for name in (PATH, POWER) if name in model_input]
    if not columns or not len(model_input):
        found = "no rows" if columns else f"columns {', '.join(map(str, model_input))}"
        raise DataError(f"expected a table of recordings with the column {PATH} or {POWER}, found {found}")
    for row, cells in enumerate(zip(*(model_input[name] for name in columns), strict=True)):
        named = dict(zip(columns, cells, strict=True))
        if isinstance(named.get(PATH), str):
            yield read_log_power(Path(named[PATH]))
        elif isinstance(named.get(POWER), list | np.ndarray):
            yield _log_power(named[POWER], row)
        else:
            raise DataError(f"row {row}: expected a {PATH} or {POWER}, found neither")


def _log_power(power: Any, row: int) -> Float16[np.ndarray, "time 400"]:
    """Return natural-log power as the Store keeps it; raises DataError where the power is no table of numbers >= 0."""
    try:
        values = np.asarray([np.asarray(line, dtype=np.float32) for line in power])
    except (TypeError, ValueError) as error:
        raise DataError(f"row {row}: expected {POWER} as numbers [time, {len(POWERS)}]: {error}") from None
    if (values < 0).any():
        raise DataError(f"row {row}: expected {POWER} >= 0, found {np.nanmin(values):g}")
    return log_power(values).astype("<f2")
