"""The doctor of stores: the studies' database, MLflow's, and the prepared recordings, as they lie under ``mlruns``."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hms_search.data.store_faults import store_faults
from hms_search.errors import StudyError, TrackingError
from hms_search.search.findings import Finding, worst_first
from hms_search.search.places import Places
from hms_search.search.storage import existing_storage
from hms_search.tracking import NO_TRACKING, RunReader


def store_findings(places: Places) -> tuple[Finding, ...]:
    """Return what is wrong with what lies in a working directory, worst first; what is not there yet is not wrong."""
    return worst_first([*_studies(places), *_runs(places), *_prepared(places)])


def sqlite_findings(file: Path, what: str) -> Iterator[Finding]:
    """Find a SQLite file that is damaged, or that several processes cannot share."""
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    except sqlite3.Error as error:
        verdict, mode = str(error), "wal"
    if verdict != "ok":
        yield Finding(
            "error",
            f"{what} is damaged",
            f"{file}: {verdict}",
            f"restore it from a copy, or save what can be read: sqlite3 {file} .recover",
        )
    if mode != "wal":
        yield Finding(
            "warning",
            f"{what} is not in WAL mode",
            f"{file}: journal_mode is {mode}; readers and writers lock each other out",
            f"while nothing runs: sqlite3 {file} 'PRAGMA journal_mode=WAL'",
        )


def _studies(places: Places) -> Iterator[Finding]:
    file = places.root / "optuna.db"
    if places.storage_url is None and not file.is_file():
        return
    if places.storage_url is None:
        damage = list(sqlite_findings(file, "the studies' database"))
        yield from damage
        if any(finding.severity == "error" for finding in damage):
            return
    try:
        with existing_storage(places.storage):
            return
    except StudyError as error:
        yield Finding("error", "the studies' storage cannot be opened", str(error), "--storage URL of another one")


def _runs(places: Places) -> Iterator[Finding]:
    file = places.root / "mlflow.db"
    if places.tracking_uri == NO_TRACKING or (places.tracking is None and not file.is_file()):
        return
    if places.tracking is None:
        damage = list(sqlite_findings(file, "MLflow's database"))
        yield from damage
        if any(finding.severity == "error" for finding in damage):
            return
    try:
        RunReader(places.tracking_uri).check()
    except TrackingError as error:
        yield Finding("error", "MLflow's store cannot be read", str(error), "--tracking-uri URI of another one")


def _prepared(places: Places) -> Iterator[Finding]:
    stores = places.root / "stores"
    for folder in sorted(stores.iterdir()) if stores.is_dir() else ():
        faults = store_faults(folder) if folder.is_dir() else []
        if faults:
            yield Finding(
                "error",
                f"the prepared recordings {folder.name} are not whole",
                "; ".join(faults),
                f"rm -r {folder}, and prepare them again: hms-search data prepare ROOT",
            )
