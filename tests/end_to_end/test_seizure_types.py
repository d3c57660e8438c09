"""A study of seizure types from the command line: the score by file and by patient, side by side."""

import json
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from command_line import CommandLine
from sklearn.metrics import f1_score

from hms_search.data.folds import FileFolds, GroupedFolds, plan_folds
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.eeg.fft_pipeline import FftPipeline
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.models import EegCnn
from hms_search.training.config import TrainingConfig
from hms_search.training.optim import Adam
from hms_search.training.schedulers import Constant

SHIPPED = Path(__file__).parents[2] / "studies" / "epilepsy_cnn.yaml"
SMALL = {"space.base.training.epochs": 2, "space.base.model.channels": [8, 8], "folds.n_folds": 2, "device": "cpu"}
SETTINGS = [word for path, value in SMALL.items() for word in ("--set", f"{path}={json.dumps(value)}")]
RUN = ("run", str(SHIPPED), "--data", "seizures", *SETTINGS)


@pytest.fixture
def seizures(hms_search: CommandLine) -> Path:
    root = hms_search.folder / "seizures"
    output = hms_search("data", "synthetic", "seizures", "--task", "seizure_types", "--patients", "16", "--seed", "1")
    assert "SYNTHETIC" in output
    assert "0 errors" in hms_search("data", "check", "seizures")
    return root


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name="epilepsy_cnn", storage=f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")


def test_the_shipped_study_runs_and_shows_both_scores(hms_search: CommandLine, seizures: Path) -> None:
    output = hms_search(*RUN, "--trials", "2")
    study = study_of(hms_search.folder)
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["weighted F1"]
    values = [trial.value for trial in study.trials]
    assert f"best: trial {int(np.argmax(values))} F1 {max(values):.4f}" in output
    assert "by file" in output
    assert "KL" not in output
    for trial in study.trials:
        assert trial.value == pytest.approx(np.mean(trial.user_attrs["folds"]))
        assert trial.user_attrs["weighted_f1_by_file"] == pytest.approx(trial.value)
        assert 0 <= trial.user_attrs["weighted_f1_by_patient"] <= 1
        assert sorted(trial.intermediate_values) == [0, 1, 2, 3]
    assert "F1 by patient" in hms_search("show", "epilepsy_cnn")
    assert "F1" in hms_search("ls")
    page = hms_search("report", "epilepsy_cnn")
    assert "F1 by patient" in page
    assert "folds are of files" in page
    assert "nats" not in page.replace("paired differences are of KL divergence", "")
    oof = pd.read_csv(next((hms_search.folder / "mlruns" / "artifacts").rglob("oof.csv")))
    by_fold = [
        f1_score(part["label"], part[list(SEIZURE_TYPES)].idxmax(axis=1), average="weighted")
        for _, part in oof.groupby("fold")
    ]
    assert np.isclose(values, np.mean(by_fold)).any()

    assert "2 complete" in hms_search(*RUN, "--trials", "2")
    assert "is of task seizure_types" in hms_search("teach", "epilepsy_cnn", code=2)


def test_bad_input_is_one_clear_line(hms_search: CommandLine) -> None:
    (hms_search.folder / "seizures").mkdir()
    assert "with labels.csv" in one_line(hms_search(*RUN, code=2))
    absent = hms_search("run", str(SHIPPED), "--data", "nowhere", code=2)
    assert "no such data folder: nowhere" in one_line(absent)
    assert "--data ROOT" in one_line(hms_search("run", str(SHIPPED), code=2))
    for setting, said in (
        ('task="hms"', "task hms needs pipeline.source spectrogram, eeg or both, found fft_image"),
        ('objective="high"', "task seizure_types has no vote strata"),
        ("data.baked=true", "data.baked keeps a representation of EEG"),
    ):
        assert said in one_line(hms_search(*RUN, "--set", setting, code=2))
    assert "folds: {name: files} are for task seizure_types" in one_line(
        hms_search("run", "small.yaml", "--data", "recordings", "--set", 'folds={"name": "files"}', code=2)
    )


def one_line(output: str) -> str:
    lines = output.strip().splitlines()
    assert len(lines) == 1, output
    return lines[0]


def test_folds_that_let_patients_leak_score_higher(tmp_path: Path) -> None:
    write_synthetic_seizures(tmp_path / "seizures", n_patients=24, seed=2)
    found = SeizureTypes.open(tmp_path / "seizures")
    config = ExperimentConfig(
        pipeline=FftPipeline(statistics=("mean",)),
        model=EegCnn(channels=(16, 16, 32)),
        training=TrainingConfig(epochs=12, batch_size=16, optimiser=Adam(lr=4e-3), scheduler=Constant()),
    )
    by_file, by_patient = (
        run_experiment(config, found, plan_folds(folds, found), device="cpu").value
        for folds in (FileFolds(n_folds=2), GroupedFolds(n_folds=2))
    )
    assert by_file > by_patient + 0.2, (by_file, by_patient)


def test_the_best_epoch_is_the_one_with_the_highest_f1(tmp_path: Path) -> None:
    write_synthetic_seizures(tmp_path / "seizures", n_patients=8, seed=2)
    found = SeizureTypes.open(tmp_path / "seizures")
    training = TrainingConfig(epochs=4, optimiser=Adam(lr=1e-2), scheduler=Constant(), select="best")
    config = ExperimentConfig(pipeline=FftPipeline(), model=EegCnn(channels=(8, 8)), training=training)
    result = run_experiment(config, found, plan_folds(FileFolds(n_folds=2), found), device="cpu")
    for fold in result.folds:
        assert fold.value == max(epoch.value for epoch in fold.epochs)
        true, predicted = found.targets[fold.rows].argmax(axis=1), fold.probabilities.argmax(axis=1)
        assert fold.value == pytest.approx(f1_score(true, predicted, average="weighted"))
