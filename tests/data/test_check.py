"""Checking a data folder."""

import numpy as np
import pandas as pd
import pytest

from hms_search.data.check import check
from hms_search.data.prepare import prepare
from hms_search.data.progress import Progress
from hms_search.errors import DataError


def found(report, severity):
    return [(finding.where, finding.message) for finding in report.findings if finding.severity == severity]


def says(report, severity, where, *parts):
    return any(place == where and all(part in message for part in parts) for place, message in found(report, severity))


@pytest.mark.data
def test_the_real_recordings_pass_and_their_short_files_are_mentioned(shared_data):
    report = check(shared_data / "iiic", workers=1)
    assert report.passed
    assert report.n_files == {"eeg": 34, "spectrogram": 16}
    assert says(report, "warning", "train.csv", "the eeg window lies partly outside its file", "16 rows: 25, 26")
    assert says(report, "note", "train.csv", "further columns, not used: source, eeg_seconds")
    assert says(report, "note", "train.csv", "18 rows without a spectrogram_id")
    assert len(report.findings) == 3


def test_a_sound_folder_has_no_findings(small):
    report = check(small.root, workers=1)
    assert report.findings == ()
    assert (report.n_rows, report.n_files) == (20, {"eeg": 20, "spectrogram": 20})


def test_everything_wrong_is_reported_at_once_and_sorted(small):
    root = small.root
    (root / "train_spectrograms" / "100.parquet").write_bytes(b"PAR1 and no more")
    small.write("spectrogram", 101, np.full((300, 400), np.nan, dtype=np.float32))
    half = np.ones((300, 400), dtype=np.float32)
    half[:200] = np.nan
    half[250, 3] = -2
    small.write("spectrogram", 102, half)
    small.write("spectrogram", 103, np.ones((250, 400), dtype=np.float32))
    (root / "train_eegs" / "4.parquet").unlink()
    (root / "train_eegs" / "5.parquet").rename(root / "train_eegs" / "555.parquet")
    (root / "train_eegs" / "notes.txt").write_text("")
    loud = np.ones((10_000, 20), dtype=np.float32)
    loud[0, 19] = 1e6
    small.write("eeg", 6, loud)
    small.write("eeg", 7, np.ones((10_000, 20), dtype=np.float64))
    small.rows[8] |= {"expert_consensus": "seizure"}
    small.rows[9] |= {"expert_consensus": "Other"}
    small.rows[10] |= {"lrda_vote": 0, "grda_vote": 0, "other_vote": 0}
    small.rows[10] |= {"seizure_vote": 0, "lpd_vote": 0, "gpd_vote": 0}
    small.rows[11] |= {"lpd_vote": -2}
    small.rows[12] |= {"spectrogram_label_offset_seconds": 3}
    small.rows[13] |= {"eeg_label_offset_seconds": 50}
    small.rows[17] |= {"spectrogram_label_offset_seconds": -600}
    small.rows[18] |= {"spectrogram_label_offset_seconds": -598}
    small.rows[14] |= {"label_id": 1}
    small.rows[16] |= {"eeg_id": 15, "eeg_sub_id": 16}
    small.write_table()
    report = check(root, workers=1)
    assert not report.passed
    for where, *parts in (
        ("train_spectrograms/100.parquet", "spectrogram 100", "unreadable parquet"),
        ("train_spectrograms/101.parquet", "every value is missing"),
        ("train_spectrograms/102.parquet", "expected power >= 0, found -2"),
        ("train_eegs/7.parquet", "column Fp1 is double, expected float"),
        ("train_eegs", "2 missing files: 4, 5"),
        ("train.csv", "zero votes (1 rows: 11)"),
        ("train.csv", "a vote is negative (1 rows: 12)"),
        ("train.csv", "label_id appears in an earlier row (1 rows: 1)"),
        ("train.csv", "its eeg_id belongs to more than one patient (2 rows: 16, 17)"),
        ("train.csv", "the eeg window lies outside its file (1 rows: 14)"),
        ("train.csv", "the spectrogram window lies outside its file (1 rows: 18)"),
    ):
        assert says(report, "error", where, *parts), (where, parts)
    for where, *parts in (
        ("train_spectrograms/102.parquet", "67% of the values are missing"),
        ("train.csv", "expert_consensus is none of", "'seizure' (1 rows: 9)"),
        ("train.csv", "not the class with most votes (1 rows: 10)"),
        ("train.csv", "is not a multiple of 2 s", "(1 rows: 13)"),
        ("train.csv", "the spectrogram window lies partly outside its file", "3 rows: 4, 13, 19"),
        ("train.csv", "eeg_id and eeg_sub_id are those of another row (2 rows: 16, 17)"),
    ):
        assert says(report, "warning", where, *parts), (where, parts)
    for where, *parts in (
        ("train_eegs", "2 files that no row names: 16, 555"),
        ("train_eegs/6.parquet", "clipped to +-65504"),
        ("train_spectrograms", "1 of 20 files have missing values"),
        (".", "train_eegs/notes.txt"),
    ):
        assert says(report, "note", where, *parts), (where, parts)
    ranks = [("error", "warning", "note").index(finding.severity) for finding in report.findings]
    assert ranks == sorted(ranks)


def test_what_check_calls_an_error_prepare_refuses(small, tmp_path):
    small.write("spectrogram", 101, np.full((300, 400), np.nan, dtype=np.float32))
    (small.root / "train_eegs" / "4.parquet").unlink()
    small.rows[10] |= {"lpd_vote": -2}
    small.write_table()
    errors = found(check(small.root, workers=1), "error")
    rejected = prepare(small.root, tmp_path / "store", workers=1).rejected
    assert len(errors) == len(rejected) == 3


def test_columns_out_of_order_are_a_warning_and_missing_ones_an_error(small):
    path = small.root / "train.csv"
    table = pd.read_csv(path)
    table[[*table.columns[::-1]]].to_csv(path, index=False)
    assert says(check(small.root, workers=1), "warning", "train.csv", "columns are not in Kaggle's order")
    table.drop(columns=["lpd_vote", "patient_id"]).to_csv(path, index=False)
    (small.root / "train_eegs" / "4.parquet").write_bytes(b"")
    report = check(small.root, workers=1)
    assert says(report, "error", "train.csv", "missing patient_id, lpd_vote")
    assert says(report, "error", "train_eegs/4.parquet", "unreadable")  # the recordings are checked all the same


def test_two_processes_find_the_same_as_one_and_report_progress(small):
    (small.root / "train_eegs" / "4.parquet").write_bytes(b"")
    seen: list[Progress] = []
    assert check(small.root, workers=2, on_progress=seen.append) == check(small.root, workers=1)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 40, 40)
    assert seen[-1].done_bytes == seen[-1].total_bytes


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a data folder"):
        check(tmp_path / "nowhere")
