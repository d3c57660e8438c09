"""Tiny models that look at EEG, at spectrograms or at both, and files of synthetic recordings."""

from pathlib import Path

import pytest
from small_models import write_ensemble, write_model

from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.ensemble.blends import FittedBlend, MeanBlend
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Respondent

MEL = EegPipeline.model_validate(
    {"representation": {"name": "log_mel"}, "normalise": {"name": "instance"}, "resize": [72, 64]}
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a model of EEG, one of spectrograms, and an ensemble of both."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "eeg", name="eeg", seed=3, pipeline=MEL.fit([]))
    write_model(folder / "spectrogram", name="spectrogram")
    write_model(folder / "both" / "members" / "eeg", name="eeg", seed=3, pipeline=MEL.fit([]))
    write_model(folder / "both" / "members" / "spectrogram", name="spectrogram")
    write_ensemble(folder / "both", FittedBlend(MeanBlend()), members=("eeg", "spectrogram"))
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def respondent(models: dict[str, Path]) -> Respondent:
    """The model of EEG, which answers."""
    return Respondent(Predictor.open(models["eeg"], device="cpu"))
