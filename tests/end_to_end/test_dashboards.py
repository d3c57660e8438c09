"""The quickstart study in both dashboards, and a champion's web app, seen by a browser; see ``test-artifacts``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from browser import Browser
from crowned import crown
from mlflow import MlflowClient
from small_models import write_model

from hms_search.search.places import Places

REPOSITORY = Path(__file__).parents[2]
SMALLER = {
    "data.synthetic.patients": "8",
    "space.base.training.epochs": "2",
    "space.base.model.backbone": "test_resnet",
    "space.base.pipeline.resize": "[32,48]",
    "pruner": "{name: threshold, upper: 0.01}",  # every trial but the baseline is pruned
}

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Up:
    """``hms-search up`` on a finished study and a champion: the addresses and the ids of the runs."""

    mlflow: str
    dashboard: str
    app: str
    experiment_id: str
    study_run: str
    trial_runs: dict[int, str]


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start ``hms-search`` in a folder, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "hms_search", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Up]:
    """The quickstart study, made smaller and run to its end, with both dashboards up until Ctrl-C."""
    folder = tmp_path_factory.mktemp("workplace")
    settings = [argument for path, value in SMALLER.items() for argument in ("--set", f"{path}={value}")]
    run = start(folder, "run", str(REPOSITORY / "studies" / "quickstart.yaml"), "--trials", "3", *settings)
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 0, output
    for name in ("hms", "another"):
        crown(write_model(folder / name, name=name, networks=1), Places(folder / "mlruns"), name=name)
    process = start(folder, "up", "--app-port", "0")
    assert process.stdout is not None
    printed = ""
    while "Ctrl-C" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    assert "(hms@champion); also hms-search serve another@champion" in printed
    mlflow, dashboard, app = (word for word in printed.split() if word.startswith("http://"))
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (study_run,) = (run.info.run_id for run in runs if run.data.tags["kind"] == "study")
    trials = {int(run.data.tags["trial"]): run.info.run_id for run in runs if run.data.tags["kind"] == "trial"}
    children = psutil.Process(process.pid).children(recursive=True)
    try:
        yield Up(mlflow, dashboard, app, experiment.experiment_id, study_run, trials)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_optuna_dashboard_lists_the_study_and_its_trials(browser: Browser, up: Up) -> None:
    browser.open(up.dashboard)
    browser.sees("quickstart", "Direction: MINIMIZE", picture="optuna-studies")
    browser.open(f"{up.dashboard}/dashboard/studies/1")
    browser.sees("History", "Hyperparameter Importance", "Best Trial (number=0)", picture="optuna-study")
    browser.open(f"{up.dashboard}/dashboard/studies/1/trials")
    text = browser.sees("3 Trials", "Trial 0", "Trial 1", "Trial 2", "Complete", "Pruned", picture="optuna-trials")
    assert text.count("Pruned") >= 2
    assert "training.optimiser.lr 0.001" in text


def test_optuna_dashboard_shows_a_trials_curve_and_a_note_that_names_its_run(browser: Browser, up: Up) -> None:
    for number, state in ((0, "Complete"), (2, "Pruned")):
        browser.open(f"{up.dashboard}/dashboard/studies/1/trials?numbers={number}")
        words = (f"Trial {number} (trial_id=", state, "Note", up.trial_runs[number], "Artifacts", "quickstart-trial-")
        browser.sees(*words, picture=f"optuna-trial-{number}")
        assert browser.shows_image("img[src*='/artifacts/']") == (640, 400)


def test_mlflow_shows_the_study_with_its_trials_as_runs(browser: Browser, up: Up) -> None:
    browser.open(up.mlflow)
    browser.sees("Recent Experiments", "quickstart", "Model training", picture="mlflow-home")
    browser.click("//*[text()='Model training']")
    browser.click("//a[.='quickstart']")
    browser.sees("study quickstart", "4 matching runs", picture="mlflow-study")
    browser.click("//a[.='study quickstart']/ancestor::*[@role='gridcell']//button")
    browser.sees("study quickstart", "trial 0", "trial 1", "trial 2", picture="mlflow-trials")
    browser.open(f"{up.mlflow}/#/experiments/{up.experiment_id}/runs/{up.study_run}")
    words = ("study quickstart", "Finished", "Child runs", "trial 0", "trial 1", "trial 2", "git_commit", "best_value")
    browser.sees(*words, picture="mlflow-study-run")
    browser.open(f"{up.mlflow}/#/experiments/{up.experiment_id}/runs/{up.study_run}/artifacts/trials.csv")
    browser.sees("trials.csv", "study.yaml", up.trial_runs[0], up.trial_runs[1], picture="mlflow-study-table")


def test_mlflow_shows_a_trials_state_parameters_metrics_and_files(browser: Browser, up: Up) -> None:
    page = f"{up.mlflow}/#/experiments/{up.experiment_id}/runs/{up.trial_runs[0]}"
    browser.open(page)
    words = (
        "trial 0",
        "Finished",
        "pipeline.clip_log.high",
        "training.optimiser.lr",
        "kl_all/fold1",
        "kl_interval_low",
    )
    browser.sees(*words, picture="mlflow-trial-0")
    browser.open(f"{page}/model-metrics")
    browser.sees("kl_all", "fold0", "fold1", picture="mlflow-trial-0-curves")
    browser.open(f"{page}/artifacts/learning_curve.png")
    browser.sees("learning_curve.png", "config.yaml", picture="mlflow-trial-0-picture")
    assert browser.shows_image("img[src^='blob:'], img[src*='get-artifact']") == (640, 400)


def test_mlflow_shows_that_and_why_a_trial_was_pruned(browser: Browser, up: Up) -> None:
    browser.open(f"{up.mlflow}/#/experiments/{up.experiment_id}/runs/{up.trial_runs[1]}")
    browser.sees("trial 1", "Killed", "state", "pruned", "reason", picture="mlflow-trial-1")


def test_the_champions_web_app_stands_beside_the_dashboards(browser: Browser, up: Up) -> None:
    browser.open(up.app)
    browser.sees("Harmful brain activity", "not for diagnosis", "Predict", picture="champion-app")
