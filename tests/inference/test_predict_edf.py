"""Real recordings written to EDF and read back are predicted as their parquet files are."""

from pathlib import Path

import edfio
import numpy as np
import pytest
import torch
from small_models import PRIOR, write_seizure_model

from hms_search.data.edf import read_recording, resampled, windows
from hms_search.data.hms import read_eeg
from hms_search.data.seizure_reading import read_seizure_samples
from hms_search.data.seizure_recordings import fft_samples
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor
from hms_search.models import TimmImage, save_weights


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A network of random weights, strong enough to tell recordings apart."""
    folder = tmp_path_factory.mktemp("model")
    pipeline = EegPipeline(clip_uv=1024).fit([])
    model = TimmImage(backbone="test_resnet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = model.build(pipeline.config.shape)
    with torch.no_grad():
        network.get_classifier().weight.mul_(100)
    file = NetworkFile(file="network.safetensors", model=model, pipeline=pipeline, fold=0, seed=0)
    save_weights(network, folder / file.file)
    write_card(folder, ModelCard(name="e", kind="model", prior=PRIOR, scores={}, origin={}, networks=(file,)))
    return Predictor.open(folder, device="cpu")


def write_edf(path: Path, eeg: np.ndarray) -> None:
    """Write microvolts in the 16 bits of EDF, each channel over its own range; a gap is its electrode's mean."""
    filled = np.where(np.isnan(eeg), np.nan_to_num(np.nanmean(eeg, axis=0)), eeg).astype(np.float64)
    limits = np.ceil(np.abs(filled).max(axis=0)) + 1
    signals = [
        edfio.EdfSignal(column, 200, label=f"EEG {name.upper()}", physical_dimension="uV", physical_range=(-top, top))
        for name, column, top in zip(ELECTRODES, filled.T, limits, strict=True)
    ]
    edfio.Edf(signals).write(path)


@pytest.mark.data
def test_a_real_recording_is_predicted_from_edf_as_from_its_parquet(
    shared_data: Path, tmp_path: Path, predictor: Predictor
) -> None:
    original, again = [], []
    for parquet in sorted((shared_data / "iiic" / "train_eegs").glob("*.parquet")):
        write_edf(tmp_path / "recording.edf", read_eeg(parquet))
        for path, found in ((parquet, original), (tmp_path / "recording.edf", again)):
            found += [{"eeg": window} for _, window in windows(read_recording(path), 10)]
    assert len(original) == len(again) == 34
    expected, found = (predictor.predict(each).probabilities for each in (original, again))
    assert np.ptp(expected, axis=0).max() > 0.1, "recordings that all come out the same"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.data
def test_a_real_recording_is_told_apart_from_edf_as_from_its_microvolts(shared_data: Path, tmp_path: Path) -> None:
    predictor = Predictor.open(write_seizure_model(tmp_path / "model"), device="cpu")
    original, again = [], []
    for parquet in sorted((shared_data / "iiic" / "train_eegs").glob("*.parquet"))[:6]:
        eeg = read_eeg(parquet)
        write_edf(tmp_path / "recording.edf", eeg)
        assert not np.isnan(eeg[:, :19]).any()
        original.append(fft_samples(resampled(eeg.T.astype(np.float64), 200, 250).T))
        again.append(read_seizure_samples(tmp_path / "recording.edf"))
    expected, found = (predictor.predict(each).probabilities for each in (original, again))
    assert np.ptp(expected, axis=0).max() > 0.01, "recordings that all come out the same"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)
