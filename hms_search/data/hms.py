"""The Kaggle "HMS" layout: column names, units and readers of one file each.

``train.csv`` has one row per labelled 50 s window; ``train_eegs/<eeg_id>.parquet`` holds microvolts at 200 Hz,
``train_spectrograms/<spectrogram_id>.parquet`` the power of four regions every 2 s. The readers accept exactly this and
raise :class:`DataError` with the id and the reason for anything else.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Float16

from hms_search.data.labels import VOTE_COLUMNS
from hms_search.eeg.electrodes import ELECTRODES as ELECTRODES
from hms_search.eeg.electrodes import REGIONS as REGIONS
from hms_search.eeg.histogram import log_power
from hms_search.eeg.shapes import KINDS as KINDS
from hms_search.eeg.shapes import Kind as Kind
from hms_search.errors import DataError

SFREQ = 200
"""Samples per second of the EEG."""
EEG_WINDOW = 50 * SFREQ
"""Samples of an EEG window."""
SPECTROGRAM_STEP_S = 2
SPECTROGRAM_WINDOW = 300
"""Rows of a spectrogram window: 10 minutes in steps of 2 s."""

LARGEST_UV = float(np.finfo(np.float16).max)
"""What float16 can hold: 65504 microvolts."""

FOLDERS: dict[Kind, str] = {"eeg": "train_eegs", "spectrogram": "train_spectrograms"}

FREQUENCIES_HZ = tuple(math.floor(k * SFREQ / 1024 * 100 + 0.5) / 100 for k in range(3, 103))
"""Frequencies as the files name them: bins 3 to 102 of a 1024-point transform, rounded half up to 0.01 Hz."""
POWERS = tuple(f"{region}_{frequency}" for region in REGIONS for frequency in FREQUENCIES_HZ)
"""Columns of a spectrogram file after ``time``, in order; float32 power, never negative."""
COLUMNS: dict[Kind, tuple[str, ...]] = {"eeg": ELECTRODES, "spectrogram": ("time", *POWERS)}
SCHEMAS = {
    kind: pa.schema([(name, pa.int64() if name == "time" else pa.float32()) for name in names])
    for kind, names in COLUMNS.items()
}

OFFSET_COLUMNS = ("eeg_label_offset_seconds", "spectrogram_label_offset_seconds")
TABLE_COLUMNS = (
    *("eeg_id", "eeg_sub_id", "eeg_label_offset_seconds"),
    *("spectrogram_id", "spectrogram_sub_id", "spectrogram_label_offset_seconds"),
    *("label_id", "patient_id", "expert_consensus", *VOTE_COLUMNS),
)
"""Columns of ``train.csv``, in Kaggle's order."""


def recording_path(root: Path, kind: Kind, recording_id: int) -> Path:
    """Return where the layout keeps a recording."""
    return root / FOLDERS[kind] / f"{recording_id}.parquet"


def read_table(root: Path) -> pd.DataFrame:
    """Return ``train.csv`` with one row per labelled window and the columns of :data:`TABLE_COLUMNS`, plus ``fault``.

    Ids are Int64 (missing where the cell is empty), offsets float64, votes Int64, ``expert_consensus`` text. ``fault``
    is empty for a usable row and says in words what is wrong with the others. Further columns are left out.

    Raises
    ------
    DataError
        Where the file is missing, unreadable, empty or lacks a column.
    """
    text = read_text_table(root)
    missing = [name for name in TABLE_COLUMNS if name not in text.columns]
    if missing:
        raise DataError(
            f"{root / 'train.csv'}: expected the {len(TABLE_COLUMNS)} HMS columns, "
            f"missing {', '.join(missing)}; found {', '.join(text.columns)}"
        )
    table = pd.DataFrame(index=text.index)
    for name in TABLE_COLUMNS:
        if name == "expert_consensus":
            table[name] = text[name]
        elif name in OFFSET_COLUMNS:
            table[name] = _numbers(text[name])
        else:
            table[name] = _integers(text[name])
    table["fault"] = _faults(text, table)
    return table


def read_text_table(root: Path) -> pd.DataFrame:
    """Return ``train.csv`` as text, every column as written, an empty cell as ``""``."""
    path = root / "train.csv"
    if not root.is_dir():
        raise DataError(f"no data folder {root}: expected a folder with train.csv, {' and '.join(FOLDERS.values())}")
    if not path.is_file():
        raise DataError(f"no file {path}: a data folder in the Kaggle layout needs it")
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: expected a CSV table, but it cannot be read: {error}") from error
    if text.empty:
        raise DataError(f"{path}: expected one row per labelled window, found no rows")
    return text


def read_eeg(path: Path) -> Float[np.ndarray, "n_times 20"]:
    """Return the microvolts of an EEG file, float32, missing values as NaN; raises DataError with id and reason."""
    return matrix_of(read_batch(path, "eeg"))


def read_spectrogram(path: Path) -> Float[np.ndarray, "time 400"]:
    """Return the power of a spectrogram file, float32, missing values as NaN; raises DataError with id and reason."""
    batch = read_batch(path, "spectrogram")
    check_times(path, batch)
    power = power_of(batch)
    if np.fmin.reduce(power, axis=None) < 0:
        raise DataError(f"spectrogram {path.stem}: expected power >= 0, found {np.nanmin(power):g}")
    return power


def read_log_power(path: Path) -> Float16[np.ndarray, "time 400"]:
    """Return the natural-log power of a spectrogram file as the Store keeps it: -inf for power 0, NaN for missing.

    Raises DataError with id and reason, also where every value is missing.
    """
    power = read_spectrogram(path)
    if np.isnan(power).all():
        raise DataError(f"spectrogram {path.stem}: every value is missing (NaN)")
    return log_power(power).astype("<f2")


def read_microvolts(path: Path) -> Float16[np.ndarray, "n_times 20"]:
    """Return the microvolts of an EEG file as the Store keeps them, NaN for missing values.

    Raises DataError with id and reason, also where every value is missing.
    """
    signal = read_eeg(path)
    if np.isnan(signal).all():
        raise DataError(f"eeg {path.stem}: every value is missing (NaN)")
    return to_microvolts(signal)


def to_microvolts(signal: Float[np.ndarray, "n_times 20"]) -> Float16[np.ndarray, "n_times 20"]:
    """Return an EEG as float16; what a saturated amplifier wrote beyond +-65504 microvolts is clipped there."""
    if max(np.fmax.reduce(signal, axis=None), -np.fmin.reduce(signal, axis=None)) > LARGEST_UV:
        signal = np.clip(signal, -LARGEST_UV, LARGEST_UV)
    return signal.astype("<f2")


def middle_of(signal: Float16[np.ndarray, "n_times 20"]) -> Float16[np.ndarray, "10000 20"]:
    """Return the middle 50 s of an EEG, NaN where they lie off it."""
    return window_of(signal, (len(signal) - EEG_WINDOW) // 2, EEG_WINDOW)


def window_of(
    recording: Float16[np.ndarray, "rows columns"], start: int, length: int
) -> Float16[np.ndarray, "window columns"]:
    """Return ``length`` rows of a recording from ``start``, NaN where they lie outside it."""
    window = np.full((length, recording.shape[1]), np.nan, dtype=recording.dtype)
    inside = recording[max(start, 0) : max(start + length, 0)]
    first = max(-start, 0)
    window[first : first + len(inside)] = inside
    return window


def kind_of(path: Path) -> Kind:
    """Return what kind of recording a file is, by its columns; raises DataError where it is neither."""
    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {str(error).splitlines()[0]}") from error
    shared = {kind: len(names & set(columns)) for kind, columns in COLUMNS.items()}
    kind = max(KINDS, key=lambda kind: shared[kind])
    if not shared[kind]:
        raise DataError(f"{path}: neither an EEG nor a spectrogram file: none of its columns is known")
    return kind


def check_times(path: Path, batch: Any) -> None:
    """Raise DataError unless the time column of a spectrogram runs 1, 3, 5, ... seconds."""
    times = batch.column(0).to_numpy(zero_copy_only=False)
    expected = 1 + SPECTROGRAM_STEP_S * np.arange(len(times))
    if not np.array_equal(times, expected):
        row = int(np.flatnonzero(times != expected)[0])
        raise DataError(
            f"spectrogram {path.stem}: expected the time column to run 1, 3, 5, ..., found {times[row]} in row {row}"
        )


def read_batch(path: Path, kind: Kind) -> Any:
    """Return a recording as one Arrow record batch with exactly the columns of ``COLUMNS[kind]``.

    Raises DataError where the file is missing, unreadable or empty, or where names, order or types differ.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(use_threads=False)
    except FileNotFoundError as error:
        raise DataError(f"{kind} {path.stem}: no file {path}") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{kind} {path.stem}: unreadable parquet (truncated or damaged?): {reason}") from error
    fault = schema_fault(table.schema, kind)
    if fault:
        raise DataError(f"{kind} {path.stem}: {fault}")
    if table.num_rows == 0:
        raise DataError(f"{kind} {path.stem}: expected at least one row, found none")
    batches = table.to_batches()
    return batches[0] if len(batches) == 1 else table.combine_chunks().to_batches()[0]


def schema_fault(schema: Any, kind: Kind) -> str:
    """Return what is wrong with the names, order or types of a file's columns, ``""`` where nothing is."""
    if schema.equals(SCHEMAS[kind]):
        return ""
    expected, found = COLUMNS[kind], schema.names
    if tuple(found) != expected:
        missing = [name for name in expected if name not in found]
        extra = [name for name in found if name not in expected]
        if missing or extra:
            return f"wrong columns: missing {_few(missing)}, unexpected {_few(extra)}"
        at = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
        return f"wrong column order: column {at} is {found[at]}, expected {expected[at]}"
    for field, wanted in zip(schema, SCHEMAS[kind], strict=True):
        if field.type != wanted.type:
            return f"wrong type: column {field.name} is {field.type}, expected {wanted.type}"
    return ""


def power_of(batch: Any) -> Float[np.ndarray, "time 400"]:
    """Return the power in the record batch of a spectrogram file, missing values as NaN."""
    return matrix_of(batch.remove_column(0))


def matrix_of(batch: Any) -> Float[np.ndarray, "rows columns"]:
    """Return a record batch of float32 columns as an array, missing values as NaN."""
    array: np.ndarray = batch.to_tensor(null_to_nan=True, row_major=True).to_numpy()
    return array


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"


def _numbers(text: "pd.Series[str]") -> "pd.Series[float]":
    return pd.to_numeric(text.str.strip(), errors="coerce").astype("float64")


def _integers(text: "pd.Series[str]") -> "pd.Series[Any]":
    numbers = _numbers(text)
    whole = numbers.where(np.isfinite(numbers) & (numbers == numbers.round()))
    return whole.astype("Int64")


def _faults(text: pd.DataFrame, table: pd.DataFrame) -> "pd.Series[str]":
    """Return what makes each row unusable, the first reason only."""
    fault = pd.Series("", index=table.index, dtype=object)

    def note(where: "pd.Series[bool]", reason: str) -> None:
        fault[where.fillna(False).astype(bool) & (fault == "")] = reason

    for name in TABLE_COLUMNS:
        if name != "expert_consensus":
            filled = text[name].str.strip() != ""
            note(
                filled & table[name].isna(),
                f"{name} is not a{'n integer' if name not in OFFSET_COLUMNS else ' number'}",
            )
    for name in ("label_id", "patient_id"):
        note(table[name].isna(), f"{name} is empty")
    note(table["label_id"].duplicated(), "label_id appears in an earlier row")
    note(table["eeg_id"].isna() & table["spectrogram_id"].isna(), "neither eeg_id nor spectrogram_id")
    for kind, offset in zip(KINDS, OFFSET_COLUMNS, strict=True):
        note(table[f"{kind}_id"].notna() & ~np.isfinite(table[offset]), f"{offset} is empty or not finite")
    votes = table[list(VOTE_COLUMNS)]
    note(votes.isna().any(axis=1), "a vote is empty")
    note((votes < 0).any(axis=1), "a vote is negative")
    note(votes.sum(axis=1) == 0, "zero votes")
    for kind in KINDS:
        patients = table.groupby(f"{kind}_id")["patient_id"].transform("nunique")
        note(patients > 1, f"its {kind}_id belongs to more than one patient")
    return fault
