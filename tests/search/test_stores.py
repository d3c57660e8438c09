"""The doctor of stores: what is damaged is found, what is whole or not there is not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hms_search.data.prepare import prepare
from hms_search.data.store_faults import store_faults
from hms_search.data.synthetic import write_synthetic
from hms_search.search.places import Places
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.stores import sqlite_findings, store_findings


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A working directory with an empty database of studies in it."""
    places = Places(tmp_path / "mlruns")
    close_storage(open_storage(places.storage))
    return places


def test_a_fresh_or_empty_working_directory_is_whole(places: Places, tmp_path: Path) -> None:
    assert store_findings(places) == ()
    assert store_findings(Places(tmp_path / "nowhere")) == ()


def test_a_damaged_database_is_found(places: Places) -> None:
    file = places.root / "optuna.db"
    content = bytearray(file.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    file.write_bytes(content)
    finding = store_findings(places)[0]
    assert finding.severity == "error"
    assert str(file) in finding.evidence


def test_a_file_that_is_no_database_is_found(places: Places) -> None:
    (places.root / "mlflow.db").write_text("not a database " * 1000)
    finding = store_findings(places)[0]
    assert finding.what == "MLflow's database is damaged"
    assert "not a database" in finding.evidence


def test_another_programs_database_is_no_store_of_studies(places: Places, tmp_path: Path) -> None:
    other = Places(places.root, storage_url=f"sqlite:///{tmp_path / 'missing.db'}")
    finding = store_findings(other)[0]
    assert finding.what == "the studies' storage cannot be opened"


def test_a_database_without_wal_is_found(tmp_path: Path) -> None:
    file = tmp_path / "plain.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (x)")
    (finding,) = sqlite_findings(file, "it")
    assert "journal_mode is delete" in finding.evidence
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        assert list(sqlite_findings(file, "it")) == []


def test_a_store_that_lost_something_is_found(places: Places, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "recordings", n_patients=4, seed=1, workers=1)
    folder = places.root / "stores" / "made"
    prepare(tmp_path / "recordings", folder, workers=1)
    assert store_faults(folder) == []
    shard = next((folder / "shards").glob("*.f16"))
    shard.write_bytes(shard.read_bytes()[:-2])
    assert "expected" in store_faults(folder)[0]
    (folder / "index.parquet").write_bytes((folder / "recordings.parquet").read_bytes()[:100])
    assert "cannot be read" in store_faults(folder)[0]
    (folder / "store.json").unlink()
    finding = store_findings(places)[0]
    assert finding.severity == "error"
    assert "interrupted" in finding.evidence
