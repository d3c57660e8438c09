"""The Predictor on networks that tell seizure types apart."""

from pathlib import Path

import edfio
import numpy as np
import pandas as pd
import pytest
import torch
from small_models import SEIZURE_PRIOR, write_model, write_seizure_model

from hms_search.data.edf import resampled
from hms_search.data.labels import CLASSES, SEIZURE_TYPES
from hms_search.data.seizure_reading import read_seizure_samples
from hms_search.data.seizure_recordings import fft_samples
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.mirror import flipped, flipped_eeg
from hms_search.eeg.montage import Flip
from hms_search.errors import DataError
from hms_search.inference.model_folder import read_card
from hms_search.inference.predictor import Predictor
from hms_search.inference.pyfunc import _load_pyfunc
from hms_search.inference.submission import predict_folder


def seizures(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(rng.uniform(0, 3), 0.5, (length, 20, 24)).astype(np.float32) for length in lengths]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.open(write_seizure_model(tmp_path_factory.mktemp("model") / "seizures"), device="cpu")


def test_a_model_says_what_it_was_trained_for(predictor: Predictor, tmp_path: Path) -> None:
    assert (predictor.task, predictor.classes) == ("seizure_types", SEIZURE_TYPES)
    assert predictor.kinds == {"fft"}
    other = Predictor.open(write_model(tmp_path / "hms"), device="cpu")
    assert (other.task, other.classes) == ("hms", CLASSES)


def test_a_card_that_names_no_task_is_of_the_competitions(tmp_path: Path) -> None:
    content = write_model(tmp_path / "hms") / "model.json"
    content.write_text(content.read_text(encoding="utf-8").replace('"task": "hms",', ""), encoding="utf-8")
    assert read_card(tmp_path / "hms").task == "hms"


def test_seizures_of_any_lengths_are_predicted_together_as_alone(predictor: Predictor) -> None:
    rows = seizures(5, 1, 5, 130)
    together = predictor.predict(rows)
    assert together.probabilities.shape == (4, 8)
    assert together.members.shape == (2, 4, 8)
    np.testing.assert_allclose(together.probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)
    alone = np.concatenate([predictor.predict([{"fft": row}]).probabilities for row in rows])
    np.testing.assert_allclose(alone, together.probabilities, rtol=0, atol=1e-6)
    assert np.ptp(together.probabilities, axis=0).max() > 1e-2, "seizures that all come out the same"


def test_a_prediction_uses_all_digits_of_the_magnitudes(predictor: Predictor) -> None:
    rows = seizures(5)
    rounded = [row.astype(np.float16).astype(np.float32) for row in rows]
    assert np.abs(predictor.predict(rows).probabilities - predictor.predict(rounded).probabilities).max() > 0


@pytest.mark.parametrize("shape", [(5, 20, 23), (20, 24), (0, 20, 24), (5, 20, 24, 1), ()])
def test_other_shapes_than_samples_by_20_by_24_are_refused(predictor: Predictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected log10 magnitudes \[samples, 20, 24\], found the shape \[.*\]"):
        predictor.predict([np.zeros(shape, dtype=np.float32)])


def test_a_recording_of_another_kind_is_refused(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="looks at the fft, the recording has none"):
        predictor.predict([{"eeg": np.zeros((10_000, 20), dtype=np.float16)}])


@pytest.mark.parametrize("how", ["left_right", "front_back"])
def test_samples_of_the_mirrored_head_are_the_mirrored_samples(how: Flip) -> None:
    eeg = np.random.default_rng(0).normal(0, 40, (1000, 20))
    mirrored = flipped_eeg(torch.from_numpy(eeg)[None], how)[0].numpy()
    samples = torch.from_numpy(fft_samples(eeg))[None]
    np.testing.assert_allclose(flipped({"fft": samples}, how)["fft"][0], fft_samples(mirrored), rtol=0, atol=1e-5)
    assert not torch.equal(flipped({"fft": samples}, how)["fft"], samples)


def test_flips_is_the_mean_over_four_heads(predictor: Predictor) -> None:
    row = torch.from_numpy(seizures(4)[0])[None]
    across = flipped({"fft": row}, "left_right")
    heads = [{"fft": row}, across, flipped({"fft": row}, "front_back"), flipped(across, "front_back")]
    each = [predictor.predict([head["fft"][0].numpy()]).members for head in heads]
    found = predictor.predict([row[0].numpy()], tta="flips").members
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=0, atol=1e-6)


NEWER = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}


def write_recording(path: Path, eeg: np.ndarray, *, without: str = "") -> None:
    """An EDF of microvolts at 250 Hz, its channels named as newer devices do."""
    signals = [
        edfio.EdfSignal(
            signal, 250, label=f"eeg {NEWER.get(name, name)}-Ref", physical_dimension="uV", physical_range=(-500, 500)
        )
        for name, signal in zip(ELECTRODES, eeg.T, strict=True)
        if name != without
    ]
    edfio.Edf(signals).write(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "seizures"
    (root / "more").mkdir(parents=True)
    one, other = seizures(5, 12)
    np.save(root / "b.npy", one)
    np.savez_compressed(root / "more" / "a.npz", other)
    np.save(root / "c.npy", one[:, :, :20])
    (root / "labels.csv").write_text("file,label,patient\nnowhere.npy,ABSZ,p\n", encoding="utf-8")
    eeg = np.random.default_rng(0).normal(0, 40, (1000, 20))
    write_recording(root / "d.EDF", eeg)
    write_recording(root / "e.edf", eeg, without="T5")
    write_recording(root / "f.edf", eeg[:250])
    return root


def test_a_folder_of_arrays_and_recordings_becomes_a_table_with_the_prior_for_bad_files(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    found = predict_folder(predictor, folder, read=read_seizure_samples)
    found.write(tmp_path / "predictions.csv")
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert table.columns.tolist() == ["file", "label", *SEIZURE_TYPES]
    assert table["file"].tolist() == ["b.npy", "c.npy", "d.EDF", "e.edf", "f.edf", "more/a.npz"]
    probabilities = table[list(SEIZURE_TYPES)].to_numpy()
    np.testing.assert_array_equal(probabilities, found.probabilities)
    assert table["label"].tolist() == [SEIZURE_TYPES[place] for place in probabilities.argmax(axis=1)]
    assert {one.name for one in found.unreadable} == {"c.npy", "e.edf"}
    np.testing.assert_array_equal(probabilities[[1, 3]], [SEIZURE_PRIOR] * 2)
    one, other = seizures(5, 12)
    eeg = np.random.default_rng(0).normal(0, 40, (1000, 20))
    expected = predictor.predict([one, fft_samples(eeg), fft_samples(eeg[:250]), other]).probabilities
    np.testing.assert_allclose(probabilities[[0, 2, 4, 5]], expected, rtol=0, atol=1e-3)
    reasons = {one.name: one.reason for one in found.unreadable}
    assert "found [5, 20, 20]" in reasons["c.npy"]
    assert "missing T5" in reasons["e.edf"]
    assert "labels.csv is not read" in found.rows.notice


def test_recordings_that_nothing_reads_are_listed_and_the_arrays_are_predicted(
    predictor: Predictor, folder: Path
) -> None:
    found = predict_folder(predictor, folder)
    assert {one.name for one in found.unreadable} == {"c.npy", "d.EDF", "e.edf", "f.edf"}


def test_a_folder_without_seizures_is_one_clear_line(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected \.npy, \.npz, \.edf, \.bdf files in the data folder, found none"):
        predict_folder(predictor, tmp_path)
    with pytest.raises(DataError, match="no data folder"):
        predict_folder(predictor, tmp_path / "nowhere")


def test_mlflow_gets_the_predictors_numbers_from_paths_arrays_and_lists(tmp_path: Path) -> None:
    model = _load_pyfunc(str(write_seizure_model(tmp_path / "model")))
    rows = seizures(5, 12)
    for name, row in zip("ab", rows, strict=True):
        np.save(tmp_path / f"{name}.npy", row)
    expected = model.predictor.predict(rows).probabilities
    for given in (
        {"seizure_path": [str(tmp_path / f"{name}.npy") for name in "ab"]},
        {"samples": rows},
        {"samples": [row.tolist() for row in rows]},
    ):
        found = model.predict(pd.DataFrame(given))
        assert tuple(found.columns) == SEIZURE_TYPES
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    with pytest.raises(DataError, match="column seizure_path or samples, found columns power"):
        model.predict(pd.DataFrame({"power": [1]}))
    with pytest.raises(DataError, match=r"row 0: expected samples as numbers \[samples, 20, 24\]"):
        model.predict(pd.DataFrame({"samples": [[["a"]]]}))


def write_eeg(path: Path, eeg: np.ndarray) -> None:
    pd.DataFrame(eeg, columns=list(ELECTRODES)).to_parquet(path)


def test_an_eeg_with_gaps_is_refused_with_their_number(tmp_path: Path) -> None:
    eeg = np.random.default_rng(0).normal(0, 40, (1000, 20)).astype(np.float32)
    eeg[400:420, 3] = np.nan
    write_eeg(tmp_path / "gaps.parquet", eeg)
    with pytest.raises(DataError, match=r"gaps\.parquet: expected an EEG without gaps, found some in \d of 9 windows"):
        read_seizure_samples(tmp_path / "gaps.parquet")


def test_a_parquet_file_gives_the_samples_of_its_resampled_signals(tmp_path: Path) -> None:
    eeg = np.random.default_rng(0).normal(0, 40, (1000, 20)).astype(np.float32)
    write_eeg(tmp_path / "eeg.parquet", eeg)
    expected = fft_samples(resampled(eeg.T.astype(np.float64), 200, 250).T)
    np.testing.assert_allclose(read_seizure_samples(tmp_path / "eeg.parquet"), expected, rtol=0, atol=0.05)
    assert np.abs(fft_samples(eeg)[:7] - expected[:7]).max() > 0.5, "samples that do not depend on the rate"


@pytest.mark.parametrize("name", ["gone.npy", "gone.edf"])
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name}: cannot be read: No such file"):
        read_seizure_samples(tmp_path / name)
