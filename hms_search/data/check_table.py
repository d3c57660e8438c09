"""What is wrong with ``train.csv`` and with the files it names, before any recording is opened."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from hms_search.data.findings import Finding, Severity, few
from hms_search.data.hms import (
    EEG_WINDOW,
    FOLDERS,
    KINDS,
    OFFSET_COLUMNS,
    SFREQ,
    SPECTROGRAM_STEP_S,
    SPECTROGRAM_WINDOW,
    TABLE_COLUMNS,
    Kind,
    read_table,
    read_text_table,
)
from hms_search.data.labels import CONSENSUS_NAMES, VOTE_COLUMNS
from hms_search.data.source import Source
from hms_search.errors import DataError

CSV = "train.csv"


def checked_table(root: Path, findings: list[Finding]) -> pd.DataFrame | None:
    """Return the table of a data folder and add what is wrong with it; None where it cannot be used at all."""
    try:
        text = read_text_table(root)
        findings += _column_findings(list(text.columns))
        table = read_table(root)
    except DataError as error:
        findings.append(Finding("error", CSV, str(error)))
        return None
    for fault, rows in table[table["fault"] != ""].groupby("fault"):
        findings.append(_rows("error", rows, str(fault)))
    findings += _consensus_findings(table)
    findings += _offset_findings(table)
    twice = table["eeg_id"].notna() & table.duplicated(["eeg_id", "eeg_sub_id"], keep=False)
    if twice.any():
        findings.append(_rows("warning", table[twice], "eeg_id and eeg_sub_id are those of another row"))
    return table


def file_findings(table: pd.DataFrame, source: Source) -> Iterator[Finding]:
    """Yield which recordings have no file, and which files no row names."""
    for kind in KINDS:
        named, there = set(table[f"{kind}_id"].dropna().astype(int)), set(source.files[kind])
        folder = FOLDERS[kind]
        if named - there:
            yield Finding("error", folder, f"{len(named - there)} missing files: {few(sorted(named - there))}")
        if there - named:
            yield Finding("note", folder, f"{len(there - named)} files that no row names: {few(sorted(there - named))}")
        unnamed = int(table[f"{kind}_id"].isna().sum())
        if unnamed:
            yield Finding("note", CSV, f"{unnamed} rows without a {kind}_id")
    if source.misplaced:
        names = few(path.relative_to(source.root) for path in source.misplaced)
        yield Finding("note", ".", f"{len(source.misplaced)} files that are not <id>.parquet: {names}")


def window_findings(table: pd.DataFrame, kind: Kind, lengths: dict[int, int]) -> Iterator[Finding]:
    """Yield which rows have a window that is partly or wholly off its file; ``lengths`` are rows of the files by id."""
    offset = table[OFFSET_COLUMNS[KINDS.index(kind)]]
    length = table[f"{kind}_id"].map(lengths)
    known = (length.notna() & np.isfinite(offset)).to_numpy(dtype=bool)
    rows, length, offset = table[known], length[known].astype("int64"), offset[known]
    start = np.trunc(offset * SFREQ) if kind == "eeg" else np.floor(offset / SPECTROGRAM_STEP_S)
    window = EEG_WINDOW if kind == "eeg" else SPECTROGRAM_WINDOW
    off = (start >= length) | (start + window <= 0)
    partly = ~off & ((start < 0) | (start + window > length))
    if off.any():
        yield _rows("error", rows[off], f"the {kind} window lies outside its file")
    if partly.any():
        message = f"the {kind} window lies partly outside its file, that part is missing (NaN)"
        yield _rows("warning", rows[partly], message)


def _column_findings(found: list[str]) -> Iterator[Finding]:
    extra = [name for name in found if name not in TABLE_COLUMNS]
    if extra:
        yield Finding("note", CSV, f"further columns, not used: {few(extra)}")
    known = [name for name in found if name in TABLE_COLUMNS]
    if known != [name for name in TABLE_COLUMNS if name in found]:
        yield Finding("warning", CSV, f"columns are not in Kaggle's order, which is {', '.join(TABLE_COLUMNS)}")


def _consensus_findings(table: pd.DataFrame) -> Iterator[Finding]:
    numbers = table["expert_consensus"].map({name: i for i, name in enumerate(CONSENSUS_NAMES)})
    spelled = numbers.notna()
    if not spelled.all():
        wrong = few(sorted({repr(name) for name in table.loc[~spelled, "expert_consensus"]}))
        names = ", ".join(CONSENSUS_NAMES)
        yield _rows("warning", table[~spelled], f"expert_consensus is none of {names}, but {wrong}")
    usable = table[spelled & (table["fault"] == "")]
    votes = usable[list(VOTE_COLUMNS)].to_numpy(dtype=np.int64)
    chosen = numbers[usable.index].to_numpy(dtype=np.int64)
    outvoted = votes[np.arange(len(votes)), chosen] < votes.max(axis=1, initial=0)
    if outvoted.any():
        yield _rows("warning", usable[outvoted], "expert_consensus is not the class with most votes")


def _offset_findings(table: pd.DataFrame) -> Iterator[Finding]:
    name = OFFSET_COLUMNS[KINDS.index("spectrogram")]
    odd = np.isfinite(table[name]) & (table[name] % SPECTROGRAM_STEP_S != 0)
    if odd.any():
        yield _rows("warning", table[odd], f"{name} is not a multiple of {SPECTROGRAM_STEP_S} s and is rounded down")


def _rows(severity: Severity, rows: pd.DataFrame, message: str) -> Finding:
    labels = few(
        label if pd.notna(label) else f"line {int(str(line)) + 2}"
        for line, label in zip(rows.index, rows["label_id"], strict=True)
    )
    return Finding(severity, CSV, f"{message} ({len(rows)} rows: {labels})")
