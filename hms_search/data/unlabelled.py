"""The recordings to predict: those of ``test.csv``, or where there is none the EEGs of ``train.csv``.

A recording is read as the Store keeps it, so that a network sees here what it saw in training.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Float16, Int

from hms_search.data.findings import few
from hms_search.data.hms import (
    FOLDERS,
    SPECTROGRAM_WINDOW,
    Kind,
    middle_of,
    read_log_power,
    read_microvolts,
    read_table,
    window_of,
)
from hms_search.data.middle import middle_windows
from hms_search.data.submission import write_submission
from hms_search.errors import DataError

TEST_COLUMNS = ("spectrogram_id", "eeg_id", "patient_id")
"""Columns of ``test.csv``, in Kaggle's order; prediction needs the first two."""


@dataclass(frozen=True)
class Line:
    """One recording to predict: its file, the first row of its window (None: the whole file), or why it has none."""

    eeg_id: int
    file: Path
    start: int | None = None
    fault: str = ""


@dataclass(frozen=True)
class Unlabelled:
    """The recordings to predict of a folder, whatever their labels; ``notice`` says what to know about them.

    ``eegs`` is the folder of their EEG files.
    """

    eegs: Path
    lines: tuple[Line, ...]
    notice: str = ""

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def eeg_ids(self) -> Int[np.ndarray, " rows"]:
        """What the rows of a submission are called by; unique."""
        return np.array([line.eeg_id for line in self.lines], dtype=np.int64)

    def name(self, row: int) -> str:
        """Return what messages call a recording: its EEG's id."""
        return f"eeg {self.lines[row].eeg_id}"

    def log_power(self, row: int) -> Float16[np.ndarray, "time 400"]:
        """Return a row's natural-log power as the Store has it: a whole test file, 300 rows of a train file.

        Raises DataError, with id and reason, where the row names no spectrogram or its file cannot be used.
        """
        line = self.lines[row]
        if line.fault:
            raise DataError(f"eeg {line.eeg_id}: {line.fault}")
        recording = read_log_power(line.file)
        if line.start is None:
            return recording
        if not -SPECTROGRAM_WINDOW < line.start < len(recording):
            raise DataError(
                f"spectrogram {line.file.stem}: the window of eeg {line.eeg_id} begins at row {line.start}, "
                f"outside the file's {len(recording)} rows"
            )
        return window_of(recording, line.start, SPECTROGRAM_WINDOW)

    def microvolts(self, row: int) -> Float16[np.ndarray, "10000 20"]:
        """Return the middle 50 s of a row's EEG as the Store has it, NaN where missing or off the file.

        Raises DataError, with id and reason, where its file cannot be used.
        """
        return middle_of(read_microvolts(self.eegs / f"{self.lines[row].eeg_id}.parquet"))

    def recording(self, row: int, kinds: Collection[Kind]) -> dict[Kind, np.ndarray]:
        """Return what a model looks at of a row: its spectrogram's log power, its EEG's microvolts, or both."""
        read: dict[Kind, Callable[[int], np.ndarray]] = {"spectrogram": self.log_power, "eeg": self.microvolts}
        return {kind: read[kind](row) for kind in sorted(kinds)}

    def write(self, path: Path, probabilities: Float[np.ndarray, "rows 6"]) -> None:
        """Write a submission; raises DataError as :func:`hms_search.data.submission.write_submission`."""
        write_submission(path, self.eeg_ids, probabilities)


def open_unlabelled(root: Path) -> Unlabelled:
    """Return the recordings to predict of a folder in the Kaggle layout.

    ``test.csv`` names them, in its order, where it is there. Else they are the EEGs of ``train.csv`` by id, each with
    its middle spectrogram window, as the sampling rule ``eeg_middle`` cuts it; a notice says that a model may know
    them.

    Raises DataError where the folder or both tables are missing, or ``test.csv`` lacks a column or has ids that are
    empty, no integers or not unique; every fault is named.
    """
    if not root.is_dir():
        raise DataError(f"no data folder {root}: expected a folder with test.csv or train.csv")
    if (root / "test.csv").is_file():
        return _of_test(root)
    if (root / "train.csv").is_file():
        return _of_train(root)
    raise DataError(f"{root}: expected test.csv (or train.csv) in the data folder, found neither")


def _of_test(root: Path) -> Unlabelled:
    path = root / "test.csv"
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # ParserError, EmptyDataError and UnicodeDecodeError are ValueErrors
        raise DataError(f"{path}: expected a CSV table, but it cannot be read: {error}") from error
    missing = [name for name in TEST_COLUMNS[:2] if name not in text.columns]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(TEST_COLUMNS)}; missing {', '.join(missing)}, "
            f"found {', '.join(text.columns)}"
        )
    if text.empty:
        raise DataError(f"{path}: expected one row per recording to predict, found no rows")
    spectrograms, eegs = (text[name].str.strip() for name in TEST_COLUMNS[:2])
    faults = [*_id_faults(spectrograms), *_id_faults(eegs)]
    if eegs[eegs != ""].duplicated().any():
        faults.append(f"eeg_id appears more than once: {few(eegs[eegs.duplicated() & (eegs != '')].unique())}")
    if faults:
        raise DataError("\n".join(f"{path}: {fault}" for fault in faults))
    folder = root / "test_spectrograms"
    pairs = zip(eegs, spectrograms, strict=True)
    lines = tuple(Line(int(eeg), folder / f"{int(number)}.parquet") for eeg, number in pairs)
    return Unlabelled(root / "test_eegs", lines)


def _of_train(root: Path) -> Unlabelled:
    table = read_table(root).sort_values("label_id", kind="stable")
    named = table[table["eeg_id"].notna()].rename(columns={"spectrogram_label_offset_seconds": "spectrogram_offset_s"})
    if named.empty:
        raise DataError(f"{root}: no test.csv, and no row of train.csv has an eeg_id to predict")
    good = named[named["fault"] == ""]
    windows = good[["eeg_id"]].join(middle_windows(good)).drop_duplicates("eeg_id").set_index("eeg_id")
    faults = named.drop_duplicates("eeg_id").set_index("eeg_id")["fault"]
    notice = (
        f"{root} has no test.csv: predicting the middle 10 minutes of each of the {len(faults)} EEGs of train.csv; a "
        "model that was trained on them does better here than on new recordings"
    )
    folder, lines = root / "train_spectrograms", []
    for eeg_id in sorted(faults.index):
        if eeg_id not in windows.index:
            lines.append(Line(int(eeg_id), folder, fault=f"no usable row in train.csv: {faults[eeg_id]}"))
        elif pd.isna(number := windows.loc[eeg_id, "spectrogram_id"]):
            lines.append(Line(int(eeg_id), folder, fault="no spectrogram_id"))
        else:
            start = int(windows.loc[eeg_id, "spectrogram_start"])
            lines.append(Line(int(eeg_id), folder / f"{number}.parquet", start))
    return Unlabelled(root / FOLDERS["eeg"], tuple(lines), notice)


def _id_faults(ids: "pd.Series[str]") -> Iterator[str]:
    empty = ids == ""
    wrong = ~empty & ~ids.str.fullmatch(r"[0-9]{1,18}")
    if empty.any():
        yield f"{ids.name} is empty in line {few(_lines_of(empty))}"
    if wrong.any():
        yield f"{ids.name} must be an integer, found {few(map(repr, ids[wrong]))} in line {few(_lines_of(wrong))}"


def _lines_of(rows: "pd.Series[bool]") -> list[int]:
    """Return the line numbers of rows in their CSV file, whose first line is the header."""
    return [int(row) + 2 for row in np.flatnonzero(rows)]
