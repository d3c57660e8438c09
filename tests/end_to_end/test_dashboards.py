"""The quickstart study in both dashboards, seen by a browser; the pictures are kept in ``test-artifacts``."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

REPOSITORY = Path(__file__).parents[2]
PICTURES = REPOSITORY / "test-artifacts"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1600,1400"
)
SMALLER = {
    "data.synthetic.patients": "8",
    "space.base.training.epochs": "2",
    "space.base.model.backbone": "test_resnet",
    "space.base.pipeline.resize": "[32,48]",
    "pruner": "{name: threshold, upper: 0.01}",  # every trial but the baseline is pruned
}

pytestmark = pytest.mark.browser


class Browser:
    """A headless Chromium that waits for what a person would see."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Open an address in a blank tab: the dashboards would otherwise stay on the page they are on."""
        self.driver.get("about:blank")
        self.driver.get(address)

    @property
    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def sees(self, *words: str, picture: str) -> str:
        """Wait until the page shows all words, keep a picture of it, and return its text."""
        waiting = WebDriverWait(self.driver, 90, 0.2, ignored_exceptions=[StaleElementReferenceException])
        try:
            waiting.until(lambda _: all(word in self.text for word in words))
        except TimeoutException:
            missing = [word for word in words if word not in self.text]
            pytest.fail(f"{self.driver.current_url} does not show {missing}, but: {self.text}")
        finally:
            PICTURES.mkdir(exist_ok=True)
            self.driver.save_screenshot(str(PICTURES / f"{picture}.png"))
        return self.text

    def click(self, path: str) -> None:
        """Click on the element at an XPath as soon as it is there."""
        gone = (NoSuchElementException, StaleElementReferenceException, ElementClickInterceptedException)
        waiting = WebDriverWait(self.driver, 60, 0.2, ignored_exceptions=gone)
        waiting.until(lambda driver: driver.find_element(By.XPATH, path).click() is None)

    def shows_image(self, source: str) -> tuple[int, int]:
        """Wait until an image is drawn; return its width and height in pixels."""
        script = "const i = document.querySelector(arguments[0]); return [i?.naturalWidth ?? 0, i?.naturalHeight ?? 0]"

        def size(driver: webdriver.Chrome) -> list[int] | None:
            found: list[int] = driver.execute_script(script, source)
            return found if all(found) else None

        width, height = WebDriverWait(self.driver, 60, 0.2).until(size)
        return width, height


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A fresh Chromium; skipped where there is none, but never in CI."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        message = "no Chromium here: install Debian's packages chromium and chromium-driver"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()


@dataclass(frozen=True)
class Up:
    """``hms-search up`` on a finished study: both addresses and the ids of the runs."""

    mlflow: str
    dashboard: str
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
    process = start(folder, "up")
    assert process.stdout is not None
    printed = ""
    while "stops both" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    mlflow, dashboard = (word for word in printed.split() if word.startswith("http://"))
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (study_run,) = (run.info.run_id for run in runs if run.data.tags["kind"] == "study")
    trials = {int(run.data.tags["trial"]): run.info.run_id for run in runs if run.data.tags["kind"] == "trial"}
    children = psutil.Process(process.pid).children(recursive=True)
    try:
        yield Up(mlflow, dashboard, experiment.experiment_id, study_run, trials)
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
