"""What MLflow calls: recordings by path or by value, the same numbers; anything else is an error that says what."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_models import write_model

from hms_search.data.hms import read_log_power, read_spectrogram
from hms_search.data.labels import VOTE_COLUMNS
from hms_search.data.synthetic import write_synthetic
from hms_search.errors import ConfigError, DataError
from hms_search.inference.predictor import Predictor
from hms_search.inference.pyfunc import ServedModel, _load_pyfunc


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("recordings") / "hms"
    write_synthetic(root, n_patients=2, seed=2, workers=1)
    return sorted(root.glob("train_spectrograms/*.parquet"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return _load_pyfunc(str(write_model(tmp_path_factory.mktemp("model") / "small", normalise={"name": "datawide"})))


def test_paths_and_powers_give_what_the_predictor_gives(model: ServedModel, recordings: list[Path]) -> None:
    files = (recordings * 20)[:18]  # more than one batch
    log_power = [read_log_power(file) for file in files]
    power = [read_spectrogram(file) for file in files]
    inputs = {
        "paths": {"spectrogram_path": [str(file) for file in files]},
        "arrays": {"power": power},
        "lists": {"power": [each.tolist() for each in power]},
        "lists of arrays": {"power": [list(each) for each in power]},
        "both": {"spectrogram_path": [str(files[0]), *[None] * 17], "power": [None, *power[1:]]},
    }
    for tta in ("none", "left_right"):
        expected = Predictor.predict(model.predictor, log_power, tta=tta).probabilities
        for name, given in inputs.items():
            votes = model.predict(pd.DataFrame({**given, "patient_id": 0}), {"tta": tta})
            assert tuple(votes.columns) == VOTE_COLUMNS
            np.testing.assert_allclose(votes, expected, rtol=0, atol=1e-6, err_msg=name)


def test_missing_values_may_be_none_in_lists(model: ServedModel, recordings: list[Path]) -> None:
    power = read_spectrogram(recordings[0])[:300]
    power[5:9, 100:200] = np.nan
    lists = [[None if np.isnan(value) else float(value) for value in line] for line in power]
    votes = model.predict(pd.DataFrame({"power": [power, lists]}))
    assert votes.iloc[0].tolist() == pytest.approx(votes.iloc[1].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"eeg_id": [1]}, "column spectrogram_path or power, found columns eeg_id"),
        ({"power": []}, "found no rows"),
        ({"spectrogram_path": [None]}, "row 0: expected a spectrogram_path or power, found neither"),
        ({"spectrogram_path": ["nowhere.parquet"]}, "no file nowhere.parquet"),
        ({"power": [[["a"] * 400]]}, "row 0: expected power as numbers"),
        ({"power": [[[1.0] * 400, [1.0] * 399]]}, "row 0: expected power as numbers"),
        ({"power": [[[1.0] * 399]]}, r"expected log power \[time, 400\]"),
        ({"power": [[[-1.0] * 400]]}, "row 0: expected power >= 0, found -1"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named(
    model: ServedModel, table: dict[str, list[object]], fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        model.predict(pd.DataFrame(table))


def test_an_unknown_augmentation_is_named(model: ServedModel, recordings: list[Path]) -> None:
    with pytest.raises(ConfigError, match="expected tta to be one of own, none, left_right, flips, found 'sideways'"):
        model.predict(pd.DataFrame({"spectrogram_path": [str(recordings[0])]}), {"tta": "sideways"})
