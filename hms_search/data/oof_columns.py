"""The columns of a table of out-of-fold predictions, however its author spelled them; labels from ``train.csv``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hms_search.data.findings import few
from hms_search.data.labels import CLASSES, CLASSES_OF, HIGH_VOTES, VOTE_COLUMNS, TaskName
from hms_search.errors import DataError

SAMPLE_COLUMNS: Mapping[TaskName, tuple[str, ...]] = {
    "hms": ("sample_id", "eeg_id", "spectrogram_id", "patient_id", "n_votes", "stratum", "fold"),
    "seizure_types": ("sample_id", "file", "patient", "patient_id", "fold"),
}
ID_COLUMNS = ("sample_id", "label_id", "eeg_id", "spectrogram_id")
"""What may name a sample; the first of them that a table has does."""
PREDICTION_SPELLINGS = ("pred_{}", "{}_pred", "{}_prob", "p_{}", "{}", "{}_vote")
TARGET_SPELLINGS = ("target_{}", "{}_target", "{}_vote")


@dataclass(frozen=True)
class OofColumns:
    """A table of out-of-fold predictions under our names; the rows in the order of the table."""

    samples: pd.DataFrame
    folds: Int[np.ndarray, " rows"]
    targets: Float[np.ndarray, "rows classes"]
    probabilities: Float[np.ndarray, "rows classes"]
    task: TaskName = "hms"


def standard_columns(table: pd.DataFrame, source: str, labels: Path | None) -> OofColumns:
    """Return what :func:`hms_search.data.oof.read_oof` looks for in a table.

    ``source`` names the table in messages. What the table lacks comes from ``labels``, a ``train.csv``; where it is
    missing there too, or there are no labels, a DataError says what to give.
    """
    if "pred_" + CLASSES_OF["seizure_types"][0] in table.columns:
        return _of_seizures(table, source)
    key = _id_column(table, source)
    names = _prediction_columns(table, source)
    if "fold" not in table.columns:
        raise DataError(
            f"{source}: expected a column fold, the number of the fold whose networks predicted the row; without it "
            "nobody can tell whether a prediction is out of fold"
        )
    samples = pd.DataFrame({"sample_id": _integers(table, key, source)})
    for column in ("eeg_id", "spectrogram_id"):
        if column in table.columns:
            samples[column] = _whole(table[column]).astype("Int64")
    given = None if labels is None else _labels_of(samples["sample_id"], key, labels, source)
    samples["patient_id"] = _patients(table, given, source)
    votes = _target_table(table, names, given, source)
    samples["stratum"] = _strata(table, votes, given, source)
    n_votes = table["n_votes"] if "n_votes" in table.columns else votes.sum(axis=1) if _are_counts(votes) else None
    if n_votes is not None:
        samples["n_votes"] = _whole(n_votes).astype("Int64")
    return OofColumns(
        samples=samples,
        folds=_integers(table, "fold", source).to_numpy(dtype=np.int64),
        targets=_as_distributions(votes, samples["sample_id"], source),
        probabilities=_numbers(table, names, source).to_numpy(dtype=np.float64),
    )


def _of_seizures(table: pd.DataFrame, source: str) -> OofColumns:
    """Return the columns of a table of seizures, which is always one of our own files."""
    targets, predictions = ([f"{what}_{name}" for name in CLASSES_OF["seizure_types"]] for what in ("target", "pred"))
    missing = [name for name in (*SAMPLE_COLUMNS["seizure_types"], *targets, *predictions) if name not in table]
    if missing:
        raise DataError(f"{source}: out-of-fold predictions of seizure types lack the column {', '.join(missing)}")
    numbers = {name: _integers(table, name, source) for name in ("sample_id", "patient_id", "fold")}
    return OofColumns(
        samples=table[["file", "patient"]].assign(**numbers),
        folds=numbers["fold"].to_numpy(dtype=np.int64),
        targets=_numbers(table, tuple(targets), source).to_numpy(dtype=np.float64),
        probabilities=_numbers(table, tuple(predictions), source).to_numpy(dtype=np.float64),
        task="seizure_types",
    )


def _id_column(table: pd.DataFrame, source: str) -> str:
    for column in ID_COLUMNS:
        if column in table.columns:
            return column
    raise DataError(
        f"{source}: expected an id column, one of {', '.join(ID_COLUMNS)}; found {few(table.columns, limit=20)}"
    )


def _prediction_columns(table: pd.DataFrame, source: str) -> tuple[str, ...]:
    """Return the columns of the first spelling that the table has.

    A spelling of which only some classes are there is an error: else columns of votes could pass for predictions.
    """
    for names in _spelled(PREDICTION_SPELLINGS):
        missing = [name for name in names if name not in table.columns]
        if not missing:
            return names
        if len(missing) < len(names) and names != CLASSES:
            raise DataError(f"{source}: expected six predicted probabilities, there is no column {', '.join(missing)}")
    wanted = ", ".join(spelling.format("<class>") for spelling in PREDICTION_SPELLINGS)
    raise DataError(
        f"{source}: expected six predicted probabilities, in columns {wanted} with the classes {', '.join(CLASSES)}; "
        f"found {few(table.columns, limit=20)}"
    )


def _spelled(spellings: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(spelling.format(name) for name in CLASSES) for spelling in spellings]


def _labels_of(ids: "pd.Series[int]", key: str, path: Path, source: str) -> pd.DataFrame:
    """Return the summed votes, ``patient_id`` and ``high`` of each id, in the ids' order."""
    if key == "sample_id":
        raise DataError(
            f"{source}: a sample_id cannot be looked up in {path}; name the column label_id, eeg_id or spectrogram_id"
        )
    columns = [key, "patient_id", *VOTE_COLUMNS]
    try:
        table = pd.read_csv(path, usecols=columns)
    except FileNotFoundError:
        raise DataError(f"no file {path}: expected the competition's train.csv") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: expected a train.csv with the columns {', '.join(columns)}: {error}") from error
    _numbers(table, VOTE_COLUMNS, str(path))
    table = table[table[key].isin(ids)].dropna()
    missing = np.setdiff1d(ids, table[key])
    if len(missing):
        raise DataError(
            f"{source}: {len(missing)} of {len(ids)} rows have a {key} that {path} does not know: {few(missing)}"
        )
    groups = table.assign(high=table[list(VOTE_COLUMNS)].sum(axis=1) >= HIGH_VOTES).groupby(key)
    patients = groups["patient_id"].nunique()
    if (patients > 1).any():
        raise DataError(f"{path}: {key} {few(patients.index[patients > 1])} belongs to more than one patient")
    found = groups[list(VOTE_COLUMNS)].sum().assign(patient_id=groups["patient_id"].first(), high=groups["high"].any())
    return found.loc[ids].reset_index(drop=True)


def _patients(table: pd.DataFrame, labels: pd.DataFrame | None, source: str) -> "pd.Series[int]":
    if "patient_id" in table.columns:
        return _integers(table, "patient_id", source)
    if labels is not None:
        return _integers(labels, "patient_id", source)
    raise DataError(
        f"{source}: no column patient_id: whether a patient lies in several folds cannot be checked; "
        "add it, or give --labels TRAIN.csv"
    )


def _target_table(
    table: pd.DataFrame, predictions: tuple[str, ...], labels: pd.DataFrame | None, source: str
) -> pd.DataFrame:
    """Return the six target columns, as votes or as a distribution."""
    for names in _spelled(TARGET_SPELLINGS):
        if names != predictions and set(names) <= set(table.columns):
            return _numbers(table, names, source)
    if labels is not None:
        return labels[list(VOTE_COLUMNS)]
    wanted = ", ".join(spelling.format("<class>") for spelling in TARGET_SPELLINGS)
    raise DataError(f"{source}: no targets (columns {wanted}); add them, or give --labels TRAIN.csv")


def _strata(
    table: pd.DataFrame, votes: pd.DataFrame, labels: pd.DataFrame | None, source: str
) -> "pd.Series[str] | np.ndarray":
    """Return "high" for samples of which one row alone has at least ten votes, else "low"."""
    if "stratum" in table.columns:
        unknown = ~table["stratum"].isin(["high", "low"])
        if unknown.any():
            found = few(sorted({repr(stratum) for stratum in table.loc[unknown, "stratum"]}))
            raise DataError(f"{source}: expected high or low in the column stratum, found {found}")
        return table["stratum"]
    if labels is not None:
        return np.where(labels["high"], "high", "low")
    if "n_votes" in table.columns:
        return np.where(_integers(table, "n_votes", source) >= HIGH_VOTES, "high", "low")
    if _are_counts(votes):
        return np.where(votes.sum(axis=1) >= HIGH_VOTES, "high", "low")
    raise DataError(
        f"{source}: how many votes a row has is not known, so neither is its stratum (HIGH: at least {HIGH_VOTES}), "
        "and a score without its stratum says little; add a column n_votes or stratum, or give --labels TRAIN.csv"
    )


def _are_counts(votes: pd.DataFrame) -> bool:
    """Whether the six columns are numbers of votes and not shares of them."""
    values = votes.to_numpy(dtype=np.float64)
    return bool((values == values.round()).all() and (values.sum(axis=1) > 1).any())


def _as_distributions(votes: pd.DataFrame, ids: "pd.Series[int]", source: str) -> Float[np.ndarray, "rows 6"]:
    values = votes.to_numpy(dtype=np.float64)
    if not _are_counts(votes):
        return values
    empty = values.sum(axis=1) <= 0
    if empty.any():
        raise DataError(f"{source}: {int(empty.sum())} rows have no vote and so no target: {few(ids[empty])}")
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _numbers(table: pd.DataFrame, names: tuple[str, ...], source: str) -> pd.DataFrame:
    text = [name for name in names if not pd.api.types.is_numeric_dtype(table[name])]
    if text:
        raise DataError(f"{source}: expected numbers in column {', '.join(text)}")
    return table[list(names)]


def _integers(table: pd.DataFrame, name: str, source: str) -> "pd.Series[int]":
    numbers = _whole(table[name])
    if numbers.isna().any():
        raise DataError(f"{source}: expected integers in column {name}, found {few(table.loc[numbers.isna(), name])}")
    return numbers.astype("int64")


def _whole(column: "pd.Series[float]") -> "pd.Series[float]":
    """Return a column's integers, missing where there is something else."""
    numbers = pd.to_numeric(column, errors="coerce")
    return numbers.where(np.isfinite(numbers) & (numbers == numbers.round()))
