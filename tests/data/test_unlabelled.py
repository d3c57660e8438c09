"""The recordings to predict, read as the Store reads them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hms_search.data.hms import COLUMNS, log_power
from hms_search.data.prepare import prepare
from hms_search.data.sampling import EegMiddleSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.data.unlabelled import open_unlabelled
from hms_search.errors import DataError

POWER = np.exp(np.random.default_rng(0).normal(0, 2, (300, 400))).astype(np.float32)


@pytest.fixture
def test_folder(tmp_path: Path, folder):
    """A folder with test.csv of two rows and their spectrograms."""
    (folder.root / "test.csv").write_text("spectrogram_id,eeg_id,patient_id\n20,10,1\n21,11,2\n")
    target = folder.root / "test_spectrograms"
    target.mkdir()
    for number in (20, 21):
        folder.spectrogram(number)
        (folder.root / "train_spectrograms" / f"{number}.parquet").rename(target / f"{number}.parquet")
    return folder.root


def test_test_csv_names_the_rows_in_its_order_and_whole_files_are_read(test_folder: Path) -> None:
    table = pd.read_csv(test_folder / "test.csv").iloc[::-1]
    table.to_csv(test_folder / "test.csv", index=False)
    rows = open_unlabelled(test_folder)
    assert rows.eeg_ids.tolist() == [11, 10]
    assert rows.notice == ""
    power = pd.read_parquet(test_folder / "test_spectrograms" / "20.parquet").to_numpy()[:, 1:].astype(np.float32)
    np.testing.assert_array_equal(rows.log_power(1), log_power(power).astype(np.float16))
    assert rows.log_power(0).dtype == np.float16
    assert rows.log_power(0).shape == (300, 400)


def test_the_eegs_of_train_csv_are_cut_bit_for_bit_as_the_store_cuts_their_middle(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "data", n_patients=4, seed=3, workers=1)
    (tmp_path / "data" / "test.csv").unlink()
    prepare(tmp_path / "data", tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", EegMiddleSampling())
    rows = open_unlabelled(tmp_path / "data")
    assert "no test.csv" in rows.notice
    assert "trained on them" in rows.notice
    assert rows.eeg_ids.tolist() == store.samples["sample_id"].tolist()
    for row in range(len(rows)):
        np.testing.assert_array_equal(rows.log_power(row), store.spectrogram(row))


def test_the_middle_of_an_eeg_is_cut_bit_for_bit_as_the_store_cuts_it(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "data", n_patients=4, seed=3, workers=1)
    (tmp_path / "data" / "test.csv").unlink()
    prepare(tmp_path / "data", tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", EegMiddleSampling(), kinds=("eeg",))
    rows = open_unlabelled(tmp_path / "data")
    assert rows.eeg_ids.tolist() == store.samples["sample_id"].tolist()
    for row in range(len(rows)):
        np.testing.assert_array_equal(rows.recording(row, {"eeg"})["eeg"], store.eeg(row))


@pytest.mark.data
def test_an_eeg_of_ten_seconds_lies_in_the_middle_of_missing_values(shared_data: Path) -> None:
    rows = open_unlabelled(shared_data / "iiic")
    lengths = [np.flatnonzero(~np.isnan(rows.microvolts(row)).all(axis=1)) for row in range(len(rows))]
    assert {(len(one), one[0]) for one in lengths} == {(10000, 0), (2000, 4000)}


def test_a_window_that_leaves_the_file_is_filled_as_the_store_fills_it(tmp_path: Path, folder) -> None:
    folder.spectrogram(20, 400)
    folder.row(10, 20, spectrogram_offset=500.0)
    folder.row(11, 20, spectrogram_offset=-100.0, patient=1)
    folder.write_table()
    prepare(folder.root, tmp_path / "store", workers=1)
    store, rows = Store.open(tmp_path / "store", EegMiddleSampling()), open_unlabelled(folder.root)
    for row in range(2):
        np.testing.assert_array_equal(rows.log_power(row), store.spectrogram(row))
        assert np.isnan(rows.log_power(row)).any()


def test_a_window_beside_its_file_is_refused_with_both_ids(folder) -> None:
    folder.spectrogram(20)
    folder.row(10, 20, spectrogram_offset=5000.0)
    folder.write_table()
    with pytest.raises(
        DataError, match=r"spectrogram 20: the window of eeg 10 begins at row 2500, outside .* 300 rows"
    ):
        open_unlabelled(folder.root).log_power(0)


def test_an_eeg_without_a_usable_row_or_spectrogram_is_a_row_that_says_why(folder) -> None:
    folder.row(10, None)
    folder.row(11, 20, seizure_vote=-1)
    folder.row(None, 21)
    folder.write_table()
    rows = open_unlabelled(folder.root)
    assert rows.eeg_ids.tolist() == [10, 11]
    with pytest.raises(DataError, match="eeg 10: no spectrogram_id"):
        rows.log_power(0)
    with pytest.raises(DataError, match=r"eeg 11: no usable row in train\.csv: a vote is negative"):
        rows.log_power(1)


def spoil_missing(path: Path, folder) -> None:
    path.unlink()


def spoil_truncated(path: Path, folder) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil_columns(path: Path, folder) -> None:
    folder.write("spectrogram", 20, POWER, names=["time", *reversed(COLUMNS["spectrogram"][1:])]).rename(path)


def spoil_negative(path: Path, folder) -> None:
    folder.write("spectrogram", 20, np.where(np.arange(400) == 7, -1, POWER)).rename(path)


def spoil_all_missing(path: Path, folder) -> None:
    folder.write("spectrogram", 20, np.full_like(POWER, np.nan)).rename(path)


def spoil_times(path: Path, folder) -> None:
    table = pd.read_parquet(path)
    table.assign(time=table["time"] + 2).to_parquet(path)


def spoil_empty(path: Path, folder) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_missing, "no file"),
        (spoil_truncated, "unreadable parquet"),
        (spoil_columns, "wrong column order"),
        (spoil_negative, "expected power >= 0, found -1"),
        (spoil_all_missing, "every value is missing"),
        (spoil_times, "expected the time column to run 1, 3, 5"),
        (spoil_empty, "unreadable parquet"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named_with_the_reason(test_folder: Path, folder, spoil, reason) -> None:
    spoil(test_folder / "test_spectrograms" / "20.parquet", folder)
    rows = open_unlabelled(test_folder)
    with pytest.raises(DataError, match=f"spectrogram 20: .*{reason}"):
        rows.log_power(0)
    assert np.isfinite(rows.log_power(1)).all()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("spectrogram_id,patient_id\n20,1\n", "missing eeg_id, found spectrogram_id, patient_id"),
        ("spectrogram_id,eeg_id,patient_id\n", "found no rows"),
        ("", "cannot be read"),
        ("spectrogram_id,eeg_id,patient_id\n20,10,1\n21,10,1\n", "eeg_id appears more than once: 10"),
        ("spectrogram_id,eeg_id,patient_id\n20,10,1\n20, 10 ,1\n", "eeg_id appears more than once: 10"),
        ("spectrogram_id,eeg_id,patient_id\n20,,1\n,11,1\n,12,1\n", "spectrogram_id is empty in line 3, 4"),
        ("spectrogram_id,eeg_id,patient_id\n20,1.5,1\n", "eeg_id must be an integer, found '1.5' in line 2"),
        ("spectrogram_id,eeg_id,patient_id\n20,10,1\n../x,11,1\n", r"found '\.\./x' in line 3"),
    ],
)
def test_a_test_csv_that_names_no_rows_is_refused_with_the_place(tmp_path: Path, table: str, reason: str) -> None:
    (tmp_path / "test.csv").write_text(table)
    with pytest.raises(DataError, match=reason):
        open_unlabelled(tmp_path)


def test_all_faults_of_a_test_csv_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("spectrogram_id,eeg_id\nx,10\n20,\n21,12\n22,12\n")
    with pytest.raises(DataError) as error:
        open_unlabelled(tmp_path)
    for part in ("found 'x' in line 2", "eeg_id is empty in line 3", "more than once: 12"):
        assert part in str(error.value)


def test_a_folder_that_is_none_or_holds_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data folder"):
        open_unlabelled(tmp_path / "absent")
    with pytest.raises(DataError, match=r"expected test\.csv \(or train\.csv\)"):
        open_unlabelled(tmp_path)


@pytest.mark.data
def test_sixteen_of_the_real_eegs_have_a_spectrogram(shared_data: Path) -> None:
    rows = open_unlabelled(shared_data / "iiic")
    reasons = []
    for row in range(len(rows)):
        try:
            assert rows.log_power(row).shape == (300, 400)
        except DataError as error:
            reasons.append(str(error))
    assert len(rows) == 34
    assert len(reasons) == 18
    assert all("no spectrogram_id" in reason for reason in reasons)
