"""``labels.csv`` of a folder of seizures: one line per file with its seizure type and its patient."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from hms_search.component import suggestion
from hms_search.data.fft_samples import SUFFIXES
from hms_search.data.findings import Finding
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.errors import DataError

LABELS = "labels.csv"
COLUMNS = ("file", "label", "patient")


def read_labels(root: Path) -> pd.DataFrame:
    """Return the table of a folder, all cells as text without outer blanks.

    Raises DataError where there is no readable table, or it lacks a column.
    """
    path = root / LABELS
    wanted = f"{root}: expected a folder with {LABELS} (columns {', '.join(COLUMNS)}) and its .npy or .npz files"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except OSError as error:
        raise DataError(f"{wanted}: {LABELS}: {error.strerror}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{wanted}; {LABELS} is no table: {str(error).splitlines()[0]}") from None
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"{path}: expected columns {', '.join(COLUMNS)}, missing: {', '.join(missing)}")
    if table.empty:
        raise DataError(f"{path}: expected a line per file, found none")
    return pd.DataFrame({name: table[name].str.strip() for name in COLUMNS})


def label_findings(table: pd.DataFrame) -> Iterator[Finding]:
    """Yield what is wrong with the lines of a table: its paths, files named twice, labels and patients."""
    first: dict[str, int] = {}
    for line, (file, label, patient) in enumerate(table.itertuples(index=False), start=2):
        where = f"{LABELS}:{line}"
        wrong = wrong_path(file)
        if wrong:
            yield Finding("error", where, wrong)
        if first.setdefault(file, line) != line:
            yield Finding("error", where, f"expected each file once, found {file!r} in line {first[file]}, too")
        if label not in SEIZURE_TYPES:
            yield Finding(
                "error", where, f"expected a seizure type, found {label!r}; {suggestion(label, SEIZURE_TYPES)}"
            )
        if not patient:
            yield Finding("error", where, "expected a patient, found none; files of one patient must share a name")


def wrong_path(file: str) -> str:
    """Return what is wrong with the name of a file in the table, nothing where it is a path inside the folder."""
    path = PurePosixPath(file)
    if path.suffix not in SUFFIXES:
        return f"expected a {' or '.join(SUFFIXES)} file, found {file!r}"
    if path.is_absolute() or ".." in path.parts or "\\" in file:
        return f"expected a path inside the folder, found {file!r}"
    return ""
