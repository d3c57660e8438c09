"""The Kaggle layout and its readers."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hms_search.data.hms import (
    COLUMNS,
    KINDS,
    TABLE_COLUMNS,
    read_eeg,
    read_spectrogram,
    read_table,
    recording_path,
)
from hms_search.errors import DataError


@pytest.mark.data
@pytest.mark.parametrize("kind", KINDS)
def test_the_columns_are_those_of_the_real_files(shared_data, kind):
    for path in recording_path(shared_data / "iiic", kind, 0).parent.iterdir():
        assert tuple(pq.read_schema(path).names) == COLUMNS[kind]


@pytest.mark.data
def test_every_row_of_the_real_table_is_usable_and_extra_columns_are_left_out(shared_data):
    table = read_table(shared_data / "iiic")
    assert list(table.columns) == [*TABLE_COLUMNS, "fault"]
    assert len(table) == 34
    assert (table["fault"] == "").all()
    assert table["spectrogram_id"].notna().sum() == 16


def test_reading_returns_what_was_written_with_gaps_as_nan(folder):
    signal = np.random.default_rng(0).normal(size=(500, 20)).astype(np.float32)
    signal[100:200, 3] = np.nan
    assert np.array_equal(read_eeg(folder.write("eeg", 1, signal)), signal, equal_nan=True)
    power = np.abs(np.random.default_rng(1).normal(size=(300, 400))).astype(np.float32)
    power[5] = np.nan
    assert np.array_equal(read_spectrogram(folder.write("spectrogram", 2, power)), power, equal_nan=True)


def test_a_null_is_read_as_nan(folder):
    frame = pd.DataFrame(np.ones((10, 20), dtype=np.float32), columns=list(COLUMNS["eeg"]))
    path = recording_path(folder.root, "eeg", 1)
    table = frame.astype("Float32").mask(frame.index.to_series() == 4)
    table.to_parquet(path)
    assert np.flatnonzero(np.isnan(read_eeg(path)).all(axis=1)).tolist() == [4]


def broken(folder, case):
    signal = np.ones((100, 20), dtype=np.float32)
    names = list(COLUMNS["eeg"])
    if case == "order":
        names[3], names[4] = names[4], names[3]
    if case == "name":
        names[0] = "FP1"
    if case == "type":
        signal = signal.astype(np.float64)
    if case == "empty":
        signal = signal[:0]
    path = folder.write("eeg", 7, signal, names)
    if case == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    if case == "missing":
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("order", "column 3 is F7, expected P3"),
        ("name", "missing Fp1, unexpected FP1"),
        ("type", "column Fp1 is double, expected float"),
        ("empty", "at least one row"),
        ("truncated", "unreadable parquet"),
        ("missing", "no file"),
    ],
)
def test_a_bad_file_is_refused_with_its_id_and_the_reason(folder, case, reason):
    with pytest.raises(DataError, match=r"^eeg 7: ") as error:
        read_eeg(broken(folder, case))
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_damaged_page_is_refused(folder):
    path = folder.write("eeg", 7, np.random.default_rng(0).normal(size=(10_000, 20)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    with pytest.raises(DataError, match="eeg 7: unreadable parquet"):
        read_eeg(path)


def test_negative_power_is_refused(folder):
    power = np.ones((300, 400), dtype=np.float32)
    power[17, 3] = -0.5
    with pytest.raises(DataError, match=r"spectrogram 7: expected power >= 0, found -0\.5"):
        read_spectrogram(folder.write("spectrogram", 7, power))


def test_a_spectrogram_whose_time_jumps_is_refused(folder):
    path = folder.write("spectrogram", 7, np.ones((300, 400), dtype=np.float32))
    table = pq.read_table(path)
    pq.write_table(table.take([*range(100), *range(101, 300)]), path)
    with pytest.raises(DataError, match=r"spectrogram 7: expected the time column .* found 203 in row 100"):
        read_spectrogram(path)


def test_all_missing_columns_are_named_together(small):
    table = pd.read_csv(small.root / "train.csv").drop(columns=["eeg_id", "lpd_vote"])
    table.to_csv(small.root / "train.csv", index=False)
    with pytest.raises(DataError, match="missing eeg_id, lpd_vote"):
        read_table(small.root)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,b\n1,2,3\n"', ",".join(TABLE_COLUMNS).encode()])
def test_an_unreadable_or_empty_table_is_one_clear_error(folder, content):
    (folder.root / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.csv"):
        read_table(folder.root)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"lpd_vote": "many"}, "lpd_vote is not an integer"),
        ({"lpd_vote": 1.5}, "lpd_vote is not an integer"),
        ({"lpd_vote": -1}, "a vote is negative"),
        ({"other_vote": 0}, "zero votes"),
        ({"label_id": 1}, "label_id appears in an earlier row"),
        ({"patient_id": None}, "patient_id is empty"),
        ({"eeg_label_offset_seconds": "soon"}, "eeg_label_offset_seconds is not a number"),
        ({"eeg_label_offset_seconds": None}, "eeg_label_offset_seconds is empty or not finite"),
        ({"eeg_label_offset_seconds": "inf"}, "eeg_label_offset_seconds is empty or not finite"),
        ({"eeg_id": None, "spectrogram_id": None}, "neither eeg_id nor spectrogram_id"),
    ],
)
def test_a_bad_row_is_marked_and_the_others_stay(folder, changes, fault):
    folder.row(1, 101)
    folder.row(2, 102, **changes)
    folder.row(3, None)
    table = read_table(folder.write_table())
    assert table["fault"].tolist() == ["", fault, ""]


def test_recordings_of_two_patients_are_marked_because_they_would_leak(folder):
    folder.row(1, 101, patient=5)
    folder.row(1, 102, patient=6)
    folder.row(2, 103, patient=6)
    faults = read_table(folder.write_table())["fault"].tolist()
    assert faults == ["its eeg_id belongs to more than one patient"] * 2 + [""]
