"""A study of seizure types from the command line: the score by file and by patient, side by side."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import pytest
from command_line import CommandLine
from mlflow.models import Model
from sklearn.metrics import f1_score

from hms_search.data.fft_samples import read_fft_samples
from hms_search.data.folds import FileFolds, GroupedFolds, plan_folds
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.oof import OutOfFold, read_oof
from hms_search.data.oof_alignment import shared_patients
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.eeg.fft_pipeline import FftPipeline
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.inference.model_folder import OOF, open_model
from hms_search.inference.predictor import Predictor
from hms_search.inference.pyfunc import _load_pyfunc
from hms_search.models import EegCnn
from hms_search.promotion.train import OOF_BY_FILE
from hms_search.tracking.registry import ModelRegistry
from hms_search.training.config import TrainingConfig
from hms_search.training.optim import Adam
from hms_search.training.schedulers import Constant

SHIPPED = Path(__file__).parents[2] / "studies" / "epilepsy_cnn.yaml"
SMALL = {
    "space.base.training.epochs": 2,
    "space.base.model.channels": [8, 8],
    "folds.n_folds": 2,
    "device": "cpu",
    "workers": 2,  # a thread each: two of one trial wait for each other where other tests keep the cores busy
}
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


@pytest.mark.slow
def test_the_shipped_study_goes_from_the_search_to_a_bundle(hms_search: CommandLine, seizures: Path) -> None:
    study_shows_both_scores(hms_search)
    final_model_predicts_the_same_everywhere(hms_search, seizures)


def study_shows_both_scores(hms_search: CommandLine) -> None:
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
    assert "nats" not in page
    assert "KL" not in page
    oof = read_oof(next((hms_search.folder / "mlruns" / "artifacts").rglob("oof.parquet")))
    true, predicted = oof.targets.argmax(axis=1), oof.probabilities.argmax(axis=1)
    by_fold = [
        f1_score(true[oof.folds == fold], predicted[oof.folds == fold], average="weighted") for fold in set(oof.folds)
    ]
    assert np.isclose(values, np.mean(by_fold)).any()

    assert "2 complete" in hms_search(*RUN, "--trials", "2")
    assert "is of task seizure_types" in hms_search("teach", "epilepsy_cnn", code=2)
    again = hms_search("reproduce", "epilepsy_cnn", "--trial", "1")
    assert "equal: all 4 recorded epochs" in again
    assert "recorded F1" in again


def final_model_predicts_the_same_everywhere(hms_search: CommandLine, seizures: Path) -> None:
    output = hms_search("promote", "epilepsy_cnn", "--trial", "1", "--folds", "3")
    assert "decides: folds of patients" in output
    assert "of 'seizure_types'" in output
    assert "KL" not in output
    model = open_model(next((hms_search.folder / "mlruns" / "models").glob("epilepsy_cnn-trial1-*")))
    scores, name = model.card.scores, model.card.name
    by_patient, by_file = (read_oof(model.path / file) for file in (OOF, OOF_BY_FILE))
    assert len(shared_patients(by_patient)) == 0
    assert len(shared_patients(by_file)) > 8
    for oof, key in ((by_patient, "weighted_f1_by_patient"), (by_file, "weighted_f1_by_file")):
        assert scores[key] == pytest.approx(np.mean([weighted(oof, oof.folds == fold) for fold in range(3)]))
    assert scores["weighted_f1"] == pytest.approx(weighted(by_patient, np.ones(len(by_patient), dtype=bool)))
    assert scores["weighted_f1_interval_low"] < scores["weighted_f1"] < scores["weighted_f1_interval_high"]
    assert len(model.card.networks) == 3
    database = f"sqlite:///{hms_search.folder / 'mlruns' / 'mlflow.db'}"
    run = mlflow.MlflowClient(database).get_run(model.card.origin["run_id"]).data.metrics
    assert {"weighted_f1_by_file", "weighted_f1_by_patient", "weighted_f1/fold2", "gate/baseline/all/mean"} <= set(run)
    assert run["weighted_f1_by_file"] == pytest.approx(scores["weighted_f1_by_file"])
    listed = hms_search("models")
    assert f"{scores['weighted_f1_by_file']:.3f}" in listed
    assert "seizure_types/" in listed

    said = hms_search("predict", name, "--data", "seizures")
    assert f"{scores['weighted_f1_by_patient']:.4f} by patient" in said
    hms_search("export", name, "bundle")
    bundled = [sys.executable, "bundle/predict.py", "--data", "seizures", "-o", "bundled.csv"]
    subprocess.run(bundled, check=True, capture_output=True)
    table, again = (pd.read_csv(file) for file in ("predictions.csv", "bundled.csv"))
    assert table["file"].tolist() == sorted(pd.read_csv(seizures / "labels.csv")["file"])
    assert table["label"].tolist() == table[list(SEIZURE_TYPES)].idxmax(axis=1).tolist()
    pd.testing.assert_frame_equal(table, again, rtol=0, atol=1e-6)
    predictor = Predictor.open(model.path, device="cpu")
    direct = [predictor.predict([read_fft_samples(seizures / file)]).probabilities[0] for file in table["file"][:5]]
    np.testing.assert_allclose(table[list(SEIZURE_TYPES)][:5], direct, rtol=0, atol=1e-6)
    registry = ModelRegistry(database, hms_search.folder / "mlruns" / "artifacts")
    served = registry.fetch(registry.find("seizure_types@candidate"))
    signature = Model.load(str(served.parents[1])).signature
    assert signature.outputs.input_names() == list(SEIZURE_TYPES)
    asked = pd.DataFrame({"seizure_path": [str(seizures / file) for file in table["file"][:5]]})
    np.testing.assert_allclose(_load_pyfunc(str(served)).predict(asked), direct, rtol=0, atol=1e-6)


def weighted(oof: OutOfFold, rows: np.ndarray) -> float:
    true, predicted = oof.targets[rows].argmax(axis=1), oof.probabilities[rows].argmax(axis=1)
    return float(f1_score(true, predicted, average="weighted"))


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
