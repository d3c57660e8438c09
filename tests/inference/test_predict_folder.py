"""From a folder to a submission: every row gets a prediction, whatever its file."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import PRIOR, write_model

from hms_search.data.progress import Progress
from hms_search.data.submission import check_submission
from hms_search.data.synthetic import write_synthetic
from hms_search.data.unlabelled import open_unlabelled
from hms_search.errors import ConfigError, DataError
from hms_search.inference.model_folder import open_model, write_card
from hms_search.inference.predictor import Predictor
from hms_search.inference.submission import predict_folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings") / "hms"
    write_synthetic(root, n_patients=3, seed=2, workers=1)
    (root / "test.csv").unlink()  # so that there are more than two rows
    return root


@pytest.fixture
def broken(recordings: Path, tmp_path: Path) -> Path:
    """The recordings, but the spectrograms of the first two rows are truncated or absent."""
    target = tmp_path / "broken"
    (target / "train_spectrograms").mkdir(parents=True)
    (target / "train.csv").symlink_to(recordings / "train.csv")
    first, second = list(dict.fromkeys(line.file.name for line in open_unlabelled(recordings).lines))[:2]
    for file in (recordings / "train_spectrograms").iterdir():
        if file.name not in {first, second}:
            (target / "train_spectrograms" / file.name).symlink_to(file)
    content = (recordings / "train_spectrograms" / first).read_bytes()
    (target / "train_spectrograms" / first).write_bytes(content[: len(content) // 2])
    return target


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.open(write_model(tmp_path_factory.mktemp("model") / "small"), device="cpu")


def test_every_recording_is_predicted_as_it_is_alone_whatever_the_batch_size(
    predictor: Predictor, recordings: Path
) -> None:
    rows = open_unlabelled(recordings)
    alone = np.concatenate([predictor.predict([rows.log_power(row)]).probabilities for row in range(len(rows))])
    for batch_size in (1, 3, 100):
        submission = predict_folder(predictor, recordings, batch_size=batch_size)
        assert submission.rows.eeg_ids.tolist() == rows.eeg_ids.tolist()
        assert submission.unreadable == ()
        assert "no test.csv" in submission.rows.notice
        np.testing.assert_allclose(submission.probabilities, alone, rtol=0, atol=1e-6)


def test_a_recording_that_cannot_be_read_gets_the_prior_and_is_listed_and_the_others_do_not_change(
    predictor: Predictor, recordings: Path, broken: Path, tmp_path: Path
) -> None:
    whole, part = (predict_folder(predictor, root, batch_size=2) for root in (recordings, broken))
    unreadable = {one.name: one.reason for one in part.unreadable}
    assert 0 < len(unreadable) < len(part.rows.eeg_ids)
    assert {reason.split(": ")[1].split(" ")[0] for reason in unreadable.values()} == {"unreadable", "no"}
    for eeg_id, before, after in zip(part.rows.eeg_ids, whole.probabilities, part.probabilities, strict=True):
        np.testing.assert_allclose(after, PRIOR if f"eeg {eeg_id}" in unreadable else before, rtol=0, atol=1e-6)
    part.write(tmp_path / "submission.csv")
    check_submission(tmp_path / "submission.csv", part.rows.eeg_ids)


def test_a_folder_of_nothing_but_bad_files_is_all_prior(predictor: Predictor, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").symlink_to(recordings / "train.csv")
    submission = predict_folder(predictor, tmp_path)
    assert len(submission.unreadable) == len(submission.rows.eeg_ids)
    assert (submission.probabilities == np.array(PRIOR)).all()


def test_a_recording_that_does_not_fit_the_model_is_listed(tmp_path: Path, recordings: Path) -> None:
    (tmp_path / "data" / "test_spectrograms").mkdir(parents=True)
    files = {len(open_unlabelled(recordings).lines): "none"}
    for number, file in enumerate((recordings / "train_spectrograms").iterdir()):
        (tmp_path / "data" / "test_spectrograms" / f"{number}.parquet").symlink_to(file)
        files[number] = file.name
    lines = "\n".join(f"{number},{number + 100},1" for number in sorted(files)[:-1])
    (tmp_path / "data" / "test.csv").write_text(f"spectrogram_id,eeg_id,patient_id\n{lines}\n")
    predictor = Predictor.open(write_model(tmp_path / "model", resize=None), device="cpu")
    submission = predict_folder(predictor, tmp_path / "data")
    assert submission.rows.notice == ""
    assert submission.unreadable
    assert all("expected 300 rows of time, found" in one.reason for one in submission.unreadable)


def test_a_prediction_that_is_not_finite_is_the_prior(tmp_path: Path, recordings: Path) -> None:
    folder = write_model(tmp_path / "model", networks=1)
    card = open_model(folder).card
    weights = load_file(folder / card.networks[0].file)
    weights["fc.bias"] = torch.full_like(weights["fc.bias"], torch.nan)
    save_file(weights, folder / card.networks[0].file)
    write_card(folder, card)
    submission = predict_folder(Predictor.open(folder, device="cpu"), recordings)
    assert {one.reason for one in submission.unreadable} == {"the model's prediction is not finite"}
    assert (submission.probabilities == np.array(PRIOR)).all()


def test_progress_begins_at_none_and_ends_at_all(predictor: Predictor, broken: Path) -> None:
    seen: list[Progress] = []
    submission = predict_folder(predictor, broken, batch_size=2, on_progress=seen.append)
    total = len(submission.rows.eeg_ids)
    assert [step.done for step in seen] == [*range(0, total, 2), total]
    assert {step.total for step in seen} == {total}


def test_no_thread_is_left_when_the_work_is_broken_off(predictor: Predictor, recordings: Path) -> None:
    def interrupt(step: Progress) -> None:
        if step.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(predictor, recordings, batch_size=1, on_progress=interrupt)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("recordings")]


def test_a_folder_without_a_table_is_an_error(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected test\.csv"):
        predict_folder(predictor, tmp_path)


class NoMemory:
    """A predictor on a device that is full."""

    device = "cuda:0"

    def __init__(self, predictor: Predictor) -> None:
        self.card, self.check, self.kinds = predictor.card, predictor.check, predictor.kinds
        self.task = predictor.task

    def predict(self, _recordings: list[np.ndarray], **_options: str) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_a_batch_that_does_not_fit_the_memory_is_an_error_that_says_what_to_do(
    predictor: Predictor, recordings: Path
) -> None:
    with pytest.raises(ConfigError, match=r"3 recordings at a time do not fit .* cuda:0: use a smaller batch size"):
        predict_folder(NoMemory(predictor), recordings, batch_size=3)  # type: ignore[arg-type]
