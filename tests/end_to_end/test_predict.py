"""hms-search predict and check-submission, as a user calls them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine
from small_models import PRIOR, write_model

from hms_search.data.labels import VOTE_COLUMNS
from hms_search.inference.predictor import Predictor
from hms_search.inference.submission import predict_folder


@pytest.fixture
def model(hms_search: CommandLine) -> Path:
    return write_model(hms_search.folder / "model")


def votes(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).set_index("eeg_id")


def test_predict_writes_what_the_library_predicts_and_says_by_which_model(
    hms_search: CommandLine, model: Path, recordings: Path
) -> None:
    output = hms_search("predict", "model", "--data", "recordings", "-o", "out/mine.csv", "--tta", "left_right")
    expected = predict_folder(Predictor.open(model), recordings, tta="left_right")
    table = votes(hms_search.folder / "out" / "mine.csv")
    assert (
        table.index.tolist()
        == expected.rows.eeg_ids.tolist()
        == pd.read_csv(recordings / "test.csv")["eeg_id"].tolist()
    )
    np.testing.assert_allclose(table.to_numpy(), expected.probabilities, rtol=0, atol=1e-6)
    (last,) = [line for line in output.splitlines() if line.startswith("out/mine.csv: ")]
    for part in (
        f" {len(table)} rows",
        "model small (2 networks",
        "0.7100 [0.6500, 0.7700] on all votes",
        "left_right",
    ):
        assert part in last
    assert "note: the model was trained on synthetic recordings" in output
    assert f"predicting recordings: {len(table)} of {len(table)}, done in" in output
    assert "would be scored" in hms_search("check-submission", "out/mine.csv", "--data", "recordings")


def test_a_recording_that_cannot_be_read_is_listed_and_the_exit_code_says_so(
    hms_search: CommandLine, model: Path, recordings: Path
) -> None:
    shutil.copytree(recordings, hms_search.folder / "broken", symlinks=True)
    ids = pd.read_csv(recordings / "test.csv").set_index("eeg_id")["spectrogram_id"]
    file = hms_search.folder / "broken" / "test_spectrograms" / f"{ids.iloc[0]}.parquet"
    file.write_bytes(file.read_bytes()[:1000])
    output = hms_search("predict", "model", "--data", "broken", code=3)
    assert f"eeg {ids.index[0]}: spectrogram {ids.iloc[0]}: unreadable parquet" in output
    assert f"submission.csv: {len(ids)} rows, 1 of them the prior, by model small" in output
    np.testing.assert_allclose(votes(hms_search.folder / "submission.csv").iloc[0], PRIOR, rtol=0, atol=1e-12)
    assert "would be scored" in hms_search("check-submission", "submission.csv", "--data", "broken")


def test_strict_writes_nothing_where_a_recording_cannot_be_read(
    hms_search: CommandLine, model: Path, recordings: Path
) -> None:
    (hms_search.folder / "gone").mkdir()
    shutil.copy(recordings / "test.csv", hms_search.folder / "gone")
    output = hms_search("predict", "model", "--data", "gone", "--strict", code=2)
    assert "cannot be predicted, nothing was written" in output
    assert "no file gone/test_spectrograms/" in output
    assert not (hms_search.folder / "submission.csv").exists()


@pytest.mark.data
def test_the_real_recordings_with_a_spectrogram_are_predicted_and_the_others_get_the_prior(
    hms_search: CommandLine, model: Path, shared_data: Path
) -> None:
    output = hms_search("predict", "model", "--data", str(shared_data / "iiic"), code=3)
    assert "has no test.csv" in output
    assert "trained on them" in output
    assert output.count("no spectrogram_id") == 18
    table = votes(hms_search.folder / "submission.csv")
    prior = np.isclose(table.to_numpy(), PRIOR, rtol=0, atol=1e-12).all(axis=1)
    assert (len(table), prior.sum()) == (34, 18)
    known = pd.read_csv(shared_data / "iiic" / "train.csv").set_index("eeg_id")["spectrogram_id"].loc[table.index]
    assert (known.isna().to_numpy() == prior).all()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere", "--data", "recordings"), "no model 'nowhere': there is no such folder"),
        (("recordings", "--data", "recordings"), "no model in recordings"),
        (("model", "--data", "nowhere"), "no data folder nowhere"),
        (("model", "--data", "model"), "expected test.csv"),
        (("model", "--data", "recordings", "--device", "gpu"), "found 'gpu'"),
    ],
)
def test_bad_input_is_one_clear_line_and_no_file(
    hms_search: CommandLine, model: Path, arguments: tuple[str, ...], reason: str
) -> None:
    output = hms_search("predict", *arguments, code=2)
    assert output.startswith("error: ")
    assert reason in output
    assert len(output.strip().splitlines()) == 1
    assert not (hms_search.folder / "submission.csv").exists()


def test_check_submission_lists_every_rule_that_is_broken(hms_search: CommandLine, recordings: Path) -> None:
    ids = pd.read_csv(recordings / "test.csv")["eeg_id"]
    table = pd.DataFrame(1 / 6, index=ids, columns=list(VOTE_COLUMNS)).reset_index()
    table.loc[0, "lpd_vote"] = -1.0
    table.loc[len(table) - 1, "eeg_id"] = 5
    table.to_csv(hms_search.folder / "bad.csv", index=False)
    output = hms_search("check-submission", "bad.csv", "--data", "recordings", code=2)
    for part in ("below 0", "do not add up to 1", "eeg_id not asked for: 5", f"eeg_id missing: {ids.iloc[-1]}"):
        assert part in output
