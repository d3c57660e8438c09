"""``submission.csv``: its columns, writing it, and checking one by the competition's rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hms_search.data.atomic import replacing
from hms_search.data.findings import few
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.errors import DataError

SUBMISSION_COLUMNS = ("eeg_id", *VOTE_COLUMNS)
"""Columns of a submission, in Kaggle's order."""


def votes_table(probabilities: Float[np.ndarray, "rows 6"]) -> pd.DataFrame:
    """Return class probabilities in the canonical order as a table with Kaggle's names of the columns."""
    return pd.DataFrame(probabilities, columns=list(VOTE_COLUMNS))


def write_submission(path: Path, eeg_ids: Int[np.ndarray, " rows"], probabilities: Float[np.ndarray, "rows 6"]) -> None:
    """Write class probabilities in the canonical order as a submission, all their digits, complete or not at all.

    Raises DataError where the rows break a rule of :func:`check_submission`, or the file cannot be written.
    """
    table = votes_table(probabilities)
    table.insert(0, "eeg_id", eeg_ids)
    faults = _row_faults(table)
    if faults:
        raise DataError(_listed(f"cannot write {path}", faults))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            table.to_csv(partial, index=False)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}; name another file") from error


def check_submission(path: Path, expected_ids: Int[np.ndarray, " rows"]) -> pd.DataFrame:
    """Return a submission that the competition would score; raises DataError that lists every rule it breaks.

    The rules (Kaggle's metric notebook, and the stricter sum of MLE-bench's grader): the columns of
    :data:`SUBMISSION_COLUMNS` and no others, in any order; every EEG of ``expected_ids`` exactly once and no other;
    numbers in [0, 1], none missing; the sum of a row is 1 by ``numpy.allclose`` and after rounding to 5 decimals.
    """
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: expected a submission in CSV, but it cannot be read: {error}") from error
    missing = [name for name in SUBMISSION_COLUMNS if name not in table.columns]
    extra = [str(name) for name in table.columns if name not in SUBMISSION_COLUMNS]
    faults = [f"missing column {name}" for name in missing] + [f"unexpected column {name!r}" for name in extra]
    if "eeg_id" not in missing:
        faults += _id_faults(table["eeg_id"], expected_ids)
    if not missing:
        faults += _row_faults(table)
    if faults:
        raise DataError(_listed(f"{path} would not be scored", faults))
    return table[list(SUBMISSION_COLUMNS)].astype({"eeg_id": "int64"})


def _id_faults(ids: "pd.Series[Any]", expected: Int[np.ndarray, " rows"]) -> Iterator[str]:
    if len(ids) != len(expected):
        yield f"expected {len(expected)} rows, found {len(ids)}"
    if not _is_number(ids) or ids.isna().any():
        yield "eeg_id must be a number in every row"
        return
    if ids.duplicated().any():
        yield f"eeg_id appears more than once: {few(ids[ids.duplicated()].unique())}"
    absent, unknown = np.setdiff1d(expected, ids), np.setdiff1d(ids, expected)
    if len(absent):
        yield f"eeg_id missing: {few(absent)}"
    if len(unknown):
        yield f"eeg_id not asked for: {few(unknown)}"


def _row_faults(table: pd.DataFrame) -> list[str]:
    """Return what is wrong with the probabilities of a table that has all columns."""
    text = [name for name in VOTE_COLUMNS if not _is_number(table[name])]
    if text:
        return [f"{name} must be a number in every row" for name in text]
    values = table[list(VOTE_COLUMNS)].to_numpy(dtype=np.float64)

    missing, sums = np.isnan(values).any(axis=1), values.sum(axis=1)
    broken: dict[str, Bool[np.ndarray, " rows"]] = {
        "a probability is missing (NaN)": missing,
        "a probability is below 0": np.any(values < 0, axis=1),
        "a probability is above 1": np.any(values > 1, axis=1),
        "the probabilities do not add up to 1": ~(missing | (np.isclose(sums, 1) & (np.round(sums, 5) == 1))),
    }
    ids = table["eeg_id"].to_numpy()
    return [f"{fault} in {rows.sum()} rows: eeg_id {few(ids[rows])}" for fault, rows in broken.items() if rows.any()]


def _is_number(column: "pd.Series[Any]") -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _listed(title: str, faults: list[str]) -> str:
    return "\n  ".join([f"{title}:", *faults])
