import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hms_search.data.labels import CONSENSUS_NAMES, VOTE_COLUMNS
from hms_search.data.submission import check_submission
from hms_search.data.synthetic import SyntheticReport, write_synthetic
from hms_search.data.synthetic.head import EEG_COLUMNS
from hms_search.data.synthetic.spectrogram import column_names, multitaper
from hms_search.data.synthetic.write import n_test_patients
from hms_search.data.unlabelled import open_unlabelled
from hms_search.errors import DataError

N_PATIENTS = 4


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SyntheticReport:
    root = tmp_path_factory.mktemp("synthetic") / "hms"
    return write_synthetic(root, n_patients=N_PATIENTS, seed=5, workers=1)


@pytest.fixture(scope="module")
def train(written: SyntheticReport) -> pd.DataFrame:
    return pd.read_csv(written.root / "train.csv")


def contents(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_train_csv_has_the_columns_and_types_of_the_competition(train: pd.DataFrame) -> None:
    assert list(train.columns) == [
        "eeg_id", "eeg_sub_id", "eeg_label_offset_seconds", "spectrogram_id", "spectrogram_sub_id",
        "spectrogram_label_offset_seconds", "label_id", "patient_id", "expert_consensus", "seizure_vote", "lpd_vote",
        "gpd_vote", "lrda_vote", "grda_vote", "other_vote",
    ]  # fmt: skip
    offsets = {"eeg_label_offset_seconds", "spectrogram_label_offset_seconds"}
    for column in train.columns.drop("expert_consensus"):
        assert train[column].dtype == (np.float64 if column in offsets else np.int64), column
    assert train["label_id"].is_unique
    consensus = np.array(CONSENSUS_NAMES)[train[list(VOTE_COLUMNS)].to_numpy().argmax(axis=1)]
    assert (train["expert_consensus"] == consensus).all()


def test_every_row_has_its_files_and_no_file_is_without_a_row(written: SyntheticReport, train: pd.DataFrame) -> None:
    eegs = {int(path.stem) for path in (written.root / "train_eegs").iterdir()}
    spectrograms = {int(path.stem) for path in (written.root / "train_spectrograms").iterdir()}
    assert eegs == set(train["eeg_id"])
    assert spectrograms == set(train["spectrogram_id"])
    assert (written.eegs, written.spectrograms, written.rows) == (len(eegs), len(spectrograms), len(train))
    assert train["patient_id"].nunique() == N_PATIENTS
    assert (train.groupby("eeg_id")["patient_id"].nunique() == 1).all()


def test_files_hold_the_competitions_columns_and_enough_signal(written: SyntheticReport, train: pd.DataFrame) -> None:
    last = train.groupby("eeg_id")["eeg_label_offset_seconds"].max()
    for eeg_id, offset in last.items():
        eeg = pd.read_parquet(written.root / "train_eegs" / f"{eeg_id}.parquet")
        assert tuple(eeg.columns) == EEG_COLUMNS
        assert (eeg.dtypes == np.float32).all()
        assert len(eeg) >= int(offset * 200) + 10_000
    last = train.groupby("spectrogram_id")["spectrogram_label_offset_seconds"].max()
    for spectrogram_id, offset in last.items():
        spectrogram = pd.read_parquet(written.root / "train_spectrograms" / f"{spectrogram_id}.parquet")
        assert list(spectrogram.columns) == ["time", *column_names()]
        assert spectrogram["time"].dtype == np.int64
        assert spectrogram["time"].tolist() == list(range(1, 2 * len(spectrogram), 2))
        assert (spectrogram.dtypes.iloc[1:] == np.float32).all()
        assert len(spectrogram) >= offset // 2 + 300
        assert (spectrogram.iloc[:, 1:].min() > 0).all()


def test_the_spectrogram_is_that_of_the_eeg_at_its_offset(written: SyntheticReport, train: pd.DataFrame) -> None:
    for _, row in train.iloc[:: max(len(train) // 6, 1)].iterrows():
        eeg = pd.read_parquet(written.root / "train_eegs" / f"{row['eeg_id']}.parquet").to_numpy()
        start = int(row["eeg_label_offset_seconds"] * 200)
        path = written.root / "train_spectrograms" / f"{row['spectrogram_id']}.parquet"
        first = int(row["spectrogram_label_offset_seconds"] // 2)
        window = pd.read_parquet(path).to_numpy()[first : first + 300, 1:]
        own = multitaper(np.ascontiguousarray(eeg[start : start + 10_000, :19].T))
        np.testing.assert_allclose(own, window[138 : 138 + len(own)], rtol=1e-3)


def test_test_files_are_exactly_one_window_each_of_patients_of_their_own(
    written: SyntheticReport, train: pd.DataFrame
) -> None:
    test = pd.read_csv(written.root / "test.csv")
    assert list(test.columns) == ["spectrogram_id", "eeg_id", "patient_id"]
    assert len(test) == written.tests == n_test_patients(N_PATIENTS) >= 2
    for name in test.columns:
        assert test[name].is_unique
        assert not set(test[name]) & set(train[name])
    for kind, rows in (("eeg", 10_000), ("spectrogram", 300)):
        files = {int(path.stem): path for path in (written.root / f"test_{kind}s").iterdir()}
        assert set(files) == set(test[f"{kind}_id"])
        assert {len(pd.read_parquet(path)) for path in files.values()} == {rows}


def test_the_sample_submission_answers_the_test_table(written: SyntheticReport) -> None:
    sample = check_submission(written.root / "sample_submission.csv", open_unlabelled(written.root).eeg_ids)
    assert (sample[list(VOTE_COLUMNS)] == 1 / 6).all(axis=None)


def test_a_test_spectrogram_is_that_of_its_eeg(written: SyntheticReport) -> None:
    for _, row in pd.read_csv(written.root / "test.csv").iterrows():
        eeg = pd.read_parquet(written.root / "test_eegs" / f"{row['eeg_id']}.parquet").to_numpy()
        path = written.root / "test_spectrograms" / f"{row['spectrogram_id']}.parquet"
        own = multitaper(np.ascontiguousarray(eeg[:, :19].T))
        np.testing.assert_allclose(own, pd.read_parquet(path).to_numpy()[138 : 138 + len(own), 1:], rtol=1e-3)


def test_a_folder_from_before_there_were_test_recordings_gets_them_and_keeps_the_rest_untouched(
    written: SyntheticReport, tmp_path: Path
) -> None:
    root = tmp_path / "old"
    shutil.copytree(written.root, root)
    for folder in ("test_eegs", "test_spectrograms"):
        for file in sorted((root / folder).iterdir())[1:]:
            file.unlink()
    (root / "test.csv").write_text("spectrogram_id,eeg_id,patient_id\n1,2,3\n")
    marker = json.loads((root / "synthetic.json").read_text())
    del marker["counts"]["tests"]
    (root / "synthetic.json").write_text(json.dumps(marker))
    (root / "SYNTHETIC.md").write_text("SYNTHETIC, as it was")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("train*/*.parquet")}
    before[root / "train.csv"] = (root / "train.csv").stat().st_mtime_ns
    extended = write_synthetic(root, n_patients=N_PATIENTS, seed=5, workers=1)
    assert extended == replace(written, root=root)
    assert contents(root) == contents(written.root)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "a Store of it would be prepared again"
    assert not write_synthetic(root, n_patients=N_PATIENTS, seed=5, workers=1).written


def test_the_folder_says_that_it_is_synthetic_and_from_which_parameters(written: SyntheticReport) -> None:
    assert "SYNTHETIC" in (written.root / "SYNTHETIC.md").read_text()
    assert "seed: 5" in (written.root / "SYNTHETIC.md").read_text()
    parameters = json.loads((written.root / "synthetic.json").read_text())["parameters"]
    assert parameters["n_patients"] == N_PATIENTS
    assert parameters["seed"] == 5


def test_the_number_of_workers_changes_nothing_and_progress_counts_patients(
    written: SyntheticReport, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    write_synthetic(
        tmp_path, n_patients=N_PATIENTS, seed=5, workers=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert contents(tmp_path) == contents(written.root)
    total = N_PATIENTS + n_test_patients(N_PATIENTS)
    assert seen == [(number, total) for number in range(1, total + 1)]


def test_fewer_patients_are_the_first_of_more_and_another_seed_is_other_data(
    written: SyntheticReport, train: pd.DataFrame, tmp_path: Path
) -> None:
    fewer = write_synthetic(tmp_path / "fewer", n_patients=1, seed=5, workers=1)
    pd.testing.assert_frame_equal(pd.read_csv(fewer.root / "train.csv"), train.iloc[: fewer.rows])
    whole = contents(written.root)
    eegs = {name: digest for name, digest in contents(fewer.root).items() if name.startswith("train_eegs")}
    assert eegs.items() <= whole.items()
    other = write_synthetic(tmp_path / "other", n_patients=1, seed=6, workers=1)
    assert not set(contents(other.root).values()) & set(whole.values()) - {whole["test.csv"]}


def test_the_same_data_is_not_written_twice_and_other_parameters_replace_it(tmp_path: Path) -> None:
    first = write_synthetic(tmp_path, n_patients=1, seed=1, workers=1)
    again = write_synthetic(tmp_path, n_patients=1, seed=1, workers=1)
    assert first.written
    assert not again.written
    assert again.rows == first.rows
    before = contents(tmp_path)
    (tmp_path / "synthetic.json").unlink()
    write_synthetic(tmp_path, n_patients=1, seed=1, workers=1)
    assert contents(tmp_path) == before, "an interrupted folder is written anew"
    assert write_synthetic(tmp_path, n_patients=1, seed=2, workers=1).written
    eegs = {int(path.stem) for path in (tmp_path / "train_eegs").iterdir()}
    assert eegs == set(pd.read_csv(tmp_path / "train.csv")["eeg_id"])


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("real data")
    with pytest.raises(DataError, match=r"no SYNTHETIC\.md"):
        write_synthetic(tmp_path, n_patients=1, seed=0)
    assert contents(tmp_path).keys() == {"train.csv"}


@pytest.mark.parametrize(("n_patients", "seed"), [(0, 0), (60_000, 0), (1, -1)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, n_patients: int, seed: int) -> None:
    with pytest.raises(DataError, match=r"needs 1 to 50000 patients|must not be negative"):
        write_synthetic(tmp_path, n_patients=n_patients, seed=seed)
