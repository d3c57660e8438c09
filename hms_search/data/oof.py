"""Out-of-fold predictions: what was predicted for each sample by networks that were not trained on its fold.

One file format: parquet, one row per sample, sorted by ``sample_id``, with the columns ``sample_id, eeg_id,
spectrogram_id, patient_id, n_votes, stratum, fold, target_<class> x 6, pred_<class> x 6``; of seizure types
``sample_id, file, patient, patient_id, fold, target_<class> x 8, pred_<class> x 8``. Files of other origin are read
too, see :func:`read_oof`.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hms_search.data.atomic import replacing
from hms_search.data.findings import few
from hms_search.data.labels import CLASSES_OF, TaskName
from hms_search.data.oof_columns import ID_COLUMNS, SAMPLE_COLUMNS, standard_columns
from hms_search.errors import DataError

OOF_SUFFIXES = (".parquet", ".csv")
OOF_FILE = "oof.parquet"
"""A completed trial's out-of-fold predictions among the files of its run."""

_TYPES = {
    **dict.fromkeys(("sample_id", "patient_id", "fold"), "int64"),
    **dict.fromkeys(("eeg_id", "spectrogram_id", "n_votes"), "Int64"),
    **dict.fromkeys(("file", "patient"), "object"),
}
SUM_TOLERANCE = 1e-3
"""How far the sum of a row may be from 1, and a target from another member's."""
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions of one member, or of a blend, on samples sorted by ``sample_id``.

    Attributes
    ----------
    name
        What tables and messages call it.
    samples
        One line per sample: ``sample_id, eeg_id, spectrogram_id, patient_id, n_votes, stratum, fold``; ``eeg_id``,
        ``spectrogram_id`` and ``n_votes`` may be missing. ``stratum`` is "high" or "low"; ``fold`` is the one whose
        networks predicted the sample. Of seizure types: ``sample_id, file, patient, patient_id, fold``.
    targets, probabilities
        Distributions over the task's classes, in their order; rows sum to 1.
    task
        What is predicted.
    """

    name: str
    samples: pd.DataFrame
    targets: Float[np.ndarray, "rows classes"]
    probabilities: Float[np.ndarray, "rows classes"]
    task: TaskName = "hms"

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def patients(self) -> Int[np.ndarray, " rows"]:
        """The patient of each row."""
        return self.samples["patient_id"].to_numpy(dtype=np.int64)

    @property
    def high(self) -> Bool[np.ndarray, " rows"]:
        """Which rows belong to the HIGH stratum; none of a task without votes."""
        if "stratum" not in self.samples:
            return np.zeros(len(self), dtype=bool)
        return (self.samples["stratum"] == "high").to_numpy(dtype=bool)

    @property
    def folds(self) -> Int[np.ndarray, " rows"]:
        """The fold of each row."""
        return self.samples["fold"].to_numpy(dtype=np.int64)


def out_of_fold(
    name: str,
    samples: pd.DataFrame,
    folds: Int[np.ndarray, " rows"],
    targets: Float[np.ndarray, "rows classes"],
    probabilities: Float[np.ndarray, "rows classes"],
    task: TaskName = "hms",
) -> OutOfFold:
    """Return out-of-fold predictions, sorted by ``sample_id``.

    Parameters
    ----------
    name
        What tables and messages call them.
    samples
        Lines of :attr:`hms_search.data.store.Store.samples`, or those of seizures, in the order of the arrays.
    folds, targets, probabilities
        Of the same rows.
    task
        What is predicted.

    Raises
    ------
    DataError
        Where a sample comes twice, or a row of an array is no distribution (finite, >= 0, sum 1 within 0.001).
    """
    columns = list(SAMPLE_COLUMNS[task])
    types = {column: kind for column, kind in _TYPES.items() if column in columns}
    table = samples.assign(fold=folds).reindex(columns=columns).astype(types)
    ids = table["sample_id"].to_numpy(dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    twice = np.unique(ids[1:][ids[1:] == ids[:-1]])
    if len(twice):
        raise DataError(
            f"{name}: {len(twice)} samples come more than once: {few(twice)}; "
            "give one prediction per sample, the one of its own fold"
        )
    return OutOfFold(
        name=name,
        samples=table.iloc[order].reset_index(drop=True),
        targets=_distributions(targets[order], ids, f"{name}: targets"),
        probabilities=_distributions(probabilities[order], ids, f"{name}: predicted probabilities"),
        task=task,
    )


def write_oof(oof: OutOfFold, path: Path) -> None:
    """Write out-of-fold predictions as a parquet file."""
    with replacing(path) as partial:
        partial.write_bytes(oof_bytes(oof))


def oof_bytes(oof: OutOfFold) -> bytes:
    """Return the content of the parquet file of out-of-fold predictions."""
    classes = CLASSES_OF[oof.task]
    targets = pd.DataFrame(oof.targets, columns=[f"target_{name}" for name in classes])
    probabilities = pd.DataFrame(oof.probabilities, columns=[f"pred_{name}" for name in classes])
    content = io.BytesIO()
    pd.concat([oof.samples, targets, probabilities], axis=1).to_parquet(content, index=False)
    return content.getvalue()


def read_oof(path: Path, *, name: str | None = None, labels: Path | None = None) -> OutOfFold:
    """Return the out-of-fold predictions in a .parquet or .csv file, of this package or of other origin.

    A file whose predictions are of seizure types is one of ours. A file of other origin needs an id (``sample_id,
    label_id, eeg_id`` or ``spectrogram_id``), ``fold``, and six probabilities named ``pred_<class>, <class>_pred,
    <class>_prob, p_<class>, <class>`` or ``<class>_vote``. Targets (``target_<class>, <class>_target``, or
    ``<class>_vote`` beside predictions of another name; votes are normalised), ``patient_id`` and ``stratum`` (or
    ``n_votes``) are taken from the file, else from ``labels``.

    Parameters
    ----------
    path
        The file.
    name
        What to call the predictions; the file's name if None, or its folder's where the file is an ``oof.parquet``.
    labels
        A ``train.csv``; its votes are summed per id where the id is an EEG or a spectrogram.

    Raises
    ------
    DataError
        Where the file cannot be read, something above is missing, or a row is faulty; the message says what to give.
    """
    name = name or (path.parent.name if path.stem == "oof" else "") or path.stem
    columns = standard_columns(_read_frame(path), str(path), labels)
    return out_of_fold(name, columns.samples, columns.folds, columns.targets, columns.probabilities, columns.task)


def named_rows(ids: Int[np.ndarray, " rows"], chosen: Bool[np.ndarray, " rows"]) -> str:
    """Return how many rows are chosen, and which samples the first of them are."""
    return f"{int(chosen.sum())} of {len(ids)} rows: sample {few(ids[chosen])}"


def _read_frame(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"no file {path}: expected out-of-fold predictions as .parquet or .csv")
    if path.suffix not in OOF_SUFFIXES:
        raise DataError(f"{path}: expected a .parquet or .csv file of out-of-fold predictions")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, OSError) as error:  # pyarrow's, the CSV parser's and decoding errors are among them
        raise DataError(f"{path}: expected a {path.suffix} table, but it cannot be read: {error}") from error
    if table.empty:
        raise DataError(f"{path}: expected at least one out-of-fold prediction, found no row")
    return table.reset_index() if table.index.name in ID_COLUMNS else table


def _distributions(
    values: Float[np.ndarray, "rows classes"], ids: Int[np.ndarray, " rows"], what: str
) -> Float[np.ndarray, "rows classes"]:
    values = np.asarray(values, dtype=np.float64)
    totals = values.sum(axis=1, keepdims=True)
    faulty = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1)
    if faulty.any():
        raise DataError(f"{what} must be finite and not negative, found others in {named_rows(ids, faulty)}")
    faulty = abs(totals[:, 0] - 1) > SUM_TOLERANCE
    if faulty.any():
        found = f"{totals[faulty].min():.4g} to {totals[faulty].max():.4g}"
        raise DataError(f"{what} must sum to 1 in each row (within {SUM_TOLERANCE:g}), found {found} in "
                        f"{named_rows(ids, faulty)}")  # fmt: skip
    return np.where(abs(totals - 1) > _ROUNDING, values / totals, values)  # so that reading changes no bit of our files
