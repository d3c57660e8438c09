"""Preparing a Store: what is refused, what is kept, what is done again."""

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hms_search.data.hms import read_eeg, read_spectrogram
from hms_search.data.prepare import is_fresh, prepare
from hms_search.data.progress import Progress
from hms_search.data.sampling import LabelSampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.errors import DataError


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


def content_fingerprint(store: Path) -> str:
    return Store.open(store, SpectrogramSampling()).fingerprint


@pytest.mark.data
def test_the_real_recordings_are_all_stored_as_they_are(shared_data, tmp_path):
    root = shared_data / "iiic"
    report = prepare(root, tmp_path, workers=1)
    assert report.n_recordings == {"eeg": 34, "spectrogram": 16}
    assert (report.n_rows, report.rejected) == (34, ())
    store = Store.open(tmp_path, LabelSampling(), kinds=("eeg",))
    for row, eeg_id in enumerate(store.samples["eeg_id"]):
        signal = read_eeg(root / "train_eegs" / f"{eeg_id}.parquet")
        stored = store.eeg(row).astype(np.float32)
        present = ~np.isnan(stored).all(axis=1)
        assert np.flatnonzero(present)[0] == (0 if len(signal) == 10_000 else 4000)
        np.testing.assert_allclose(stored[present], signal, rtol=5e-4, atol=1e-4)


def test_the_data_folder_is_only_read(small, tmp_path):
    before = contents(small.root)
    prepare(small.root, tmp_path / "store", workers=1)
    assert contents(small.root) == before


def test_progress_counts_files_and_bytes_up_to_all_of_them(small, tmp_path):
    seen: list[Progress] = []
    prepare(small.root, tmp_path / "store", workers=1, on_progress=seen.append)
    assert seen[0] == Progress(0, 40, 0, seen[-1].total_bytes)
    assert (seen[-1].done, seen[-1].done_bytes) == (40, seen[-1].total_bytes)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].total_bytes == sum(p.stat().st_size for p in small.root.rglob("*.parquet"))


def test_two_processes_store_the_same_as_one(small, tmp_path):
    prepare(small.root, tmp_path / "one", workers=1)
    prepare(small.root, tmp_path / "two", workers=2)
    for path in sorted((tmp_path / "one" / "shards").glob("*.f16")):
        assert path.read_bytes() == (tmp_path / "two" / "shards" / path.name).read_bytes()
    assert content_fingerprint(tmp_path / "one") == content_fingerprint(tmp_path / "two")


def test_a_fresh_store_is_left_alone(small, tmp_path):
    store = tmp_path / "store"
    assert not is_fresh(small.root, store)
    assert not prepare(small.root, store, workers=1).was_fresh
    before = contents(store)
    assert is_fresh(small.root, store)
    report = prepare(small.root, store, workers=1)
    assert report.was_fresh
    assert (report.n_rows, report.n_recordings) == (20, {"eeg": 20, "spectrogram": 20})
    assert contents(store) == before


def test_only_the_shards_of_changed_files_are_written_again(small, tmp_path):
    store = tmp_path / "store"
    prepare(small.root, store, workers=1)
    before = content_fingerprint(store)
    small.spectrogram(105, seed=9)
    assert not is_fresh(small.root, store)
    report = prepare(small.root, store, workers=1)
    assert report.reused_shards == 5  # of 3 + 3
    assert content_fingerprint(store) != before


def test_a_changed_table_makes_the_store_stale_but_keeps_the_shards(small, tmp_path):
    store = tmp_path / "store"
    prepare(small.root, store, workers=1)
    before = content_fingerprint(store)
    small.rows[0]["lpd_vote"] = 1
    small.write_table()
    assert not is_fresh(small.root, store)
    assert prepare(small.root, store, workers=1).reused_shards == 6
    assert content_fingerprint(store) != before


def test_a_copied_data_folder_has_the_same_content(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    shutil.copytree(small.root, tmp_path / "copy", copy_function=shutil.copy)
    for path in (tmp_path / "copy").rglob("*.parquet"):
        os.utime(path, ns=(1, 1))
    prepare(tmp_path / "copy", tmp_path / "store of copy", workers=1)
    shutil.copytree(tmp_path / "store", tmp_path / "copied store")
    fingerprints = {content_fingerprint(tmp_path / name) for name in ("store", "store of copy", "copied store")}
    assert len(fingerprints) == 1


def test_a_changed_format_of_the_store_makes_it_stale(small, tmp_path):
    store = tmp_path / "store"
    prepare(small.root, store, workers=1)
    manifest = store / "store.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 0'))
    assert not is_fresh(small.root, store)
    with pytest.raises(DataError, match="prepare the data folder"):
        Store.open(store, SpectrogramSampling())


def test_every_bad_file_and_row_is_refused_by_id_and_the_rest_is_stored(small, tmp_path):
    spectrograms, eegs = small.root / "train_spectrograms", small.root / "train_eegs"
    (spectrograms / "100.parquet").write_bytes((spectrograms / "101.parquet").read_bytes()[:5000])
    small.write("spectrogram", 101, np.full((300, 400), np.nan, dtype=np.float32))
    small.write("spectrogram", 102, np.full((300, 400), -1, dtype=np.float32))
    (eegs / "3.parquet").unlink()
    small.write("eeg", 4, np.ones((10, 19), dtype=np.float32), [f"c{i}" for i in range(19)])
    small.rows[5]["other_vote"] = 0
    for name in ("seizure_vote", "lpd_vote", "gpd_vote", "lrda_vote", "grda_vote"):
        small.rows[5][name] = 0
    small.write_table()
    report = prepare(small.root, tmp_path / "store", workers=1)
    reasons = {(r.kind, r.id): r.reason for r in report.rejected}
    assert set(reasons) == {
        *(("spectrogram", i) for i in ("100", "101", "102")),
        *(("eeg", i) for i in ("3", "4")),
        ("row", "6"),
    }
    assert "truncated" in reasons["spectrogram", "100"]
    assert "every value is missing" in reasons["spectrogram", "101"]
    assert "expected power >= 0" in reasons["spectrogram", "102"]
    assert "no file" in reasons["eeg", "3"]
    assert "wrong columns" in reasons["eeg", "4"]
    assert reasons["row", "6"] == "zero votes"
    written = pd.read_csv(tmp_path / "store" / "rejected.csv", dtype=str)
    assert {(r.kind, r.id): r.reason for r in written.itertuples()} == reasons
    store = Store.open(tmp_path / "store", SpectrogramSampling())
    assert set(store.samples["spectrogram_id"]) == set(range(103, 120)) - {105}
    assert store.left_out == {"refused while preparing": 1, "spectrogram file missing or refused": 3}


def test_a_folder_of_spectrograms_alone_can_be_prepared(small, tmp_path):
    shutil.rmtree(small.root / "train_eegs")
    report = prepare(small.root, tmp_path / "store", workers=1)
    assert report.n_recordings == {"eeg": 0, "spectrogram": 20}
    assert len(Store.open(tmp_path / "store", SpectrogramSampling())) == 20


def test_nothing_usable_is_an_error_that_names_the_first_reasons(folder, tmp_path):
    folder.row(1, 101)
    with pytest.raises(DataError, match=r"nothing in 1 rows.*eeg 1: no file"):
        prepare(folder.write_table(), tmp_path / "store", workers=1)
    with pytest.raises(DataError, match="no Store"):
        Store.open(tmp_path / "store", SpectrogramSampling())
    assert "no file" in (tmp_path / "store" / "rejected.csv").read_text()


def test_a_missing_data_root_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a data folder"):
        prepare(tmp_path / "nowhere", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_folder_of_something_else_is_not_written_to(small, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty and not a Store"):
        prepare(small.root, tmp_path / "thesis", workers=1)
    with pytest.raises(DataError, match="not empty and not a Store"):
        prepare(small.root, small.root, workers=1)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


def test_a_folder_that_cannot_be_written_is_one_clear_line(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write the Store") as error:
        prepare(small.root, tmp_path / "file" / "store", workers=1)
    assert "\n" not in str(error.value)


def test_two_prepares_of_one_store_do_not_meet(small, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is preparing"):
            prepare(small.root, store, workers=1)
    assert prepare(small.root, store, workers=1).n_rows == 20


def test_histograms_and_arrays_agree_with_the_files(small, tmp_path):
    prepare(small.root, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", SpectrogramSampling())
    for row, spectrogram_id in enumerate(store.samples["spectrogram_id"]):
        power = read_spectrogram(small.root / "train_spectrograms" / f"{spectrogram_id}.parquet")
        np.testing.assert_allclose(store.spectrogram(row).astype(np.float32), np.log(power), atol=0.004)
