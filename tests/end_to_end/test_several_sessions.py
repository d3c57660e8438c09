"""Several sessions run one study on a database server; whatever is killed, no trial is lost or counted twice."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from command_line import CommandLine, wait_for
from killed_at_random import Sessions, n_ended
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from stored_trials import stored_runs, stored_trials

from hms_search.data.folds import plan_folds
from hms_search.data.store import Store
from hms_search.experiment import run_experiment
from hms_search.search.asking import trial_seed
from hms_search.search.outcomes import origin_of, place_of
from hms_search.search.peers import owner_of
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.study_data import study_samples
from hms_search.servers import free_port
from hms_search.tracking.server import mlflow_server

TRIALS = int(os.environ.get("HMS_SEARCH_STORM_TRIALS", "24"))
KILLS = int(os.environ.get("HMS_SEARCH_STORM_KILLS", "8"))
SESSIONS = int(os.environ.get("HMS_SEARCH_STORM_SESSIONS", "2"))
STUDY = "stormy"  # of its own: other tests have studies in the same database
SETTINGS = (
    f"name={STUDY}", f"trials={TRIALS}", "space.base.training.epochs=3", "sampler={name: random}", "retries=50",
    "workers=2",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_trial_is_lost_or_counted_twice_whatever_is_killed(
    hms_search: CommandLine, recordings: Path, postgres_url: str
) -> None:
    folder, port = hms_search.folder, free_port("127.0.0.1", 0, "MLflow")
    config = read_study(folder / "small.yaml", (*SETTINGS, f"data.root={recordings}"))
    with mlflow_server(f"sqlite:///{folder}/server.db", folder / "server", host="127.0.0.1", port=port):
        arguments = ("--storage", postgres_url, "--tracking-uri", f"http://127.0.0.1:{port}")
        sessions = Sessions(folder, STUDY, arguments)
        settings = [part for one in SETTINGS for part in ("--set", one)]
        sessions.start("run", str(folder / "small.yaml"), "--data", str(recordings), *settings, *arguments)
        try:
            wait_for(lambda: started(postgres_url), timeout_s=120)
            sessions.help_until_over(SESSIONS - 1)
            rng = random.Random(5)
            pace = Pace(postgres_url)
            while sum(sessions.killed.values()) < KILLS and pace.n_ended() < TRIALS - 2:
                time.sleep(rng.uniform(0.1, 0.7))
                if pace.n_ended() >= 0.6 * TRIALS * sum(sessions.killed.values()) / KILLS:
                    sessions.kill_one(rng)
            sessions.wait(timeout_s=600)
        finally:
            sessions.stop()
        trials = stored_trials(postgres_url, STUDY)
        runs = stored_runs(f"http://127.0.0.1:{port}", STUDY)
    assert sum(sessions.killed.values()) == KILLS
    assert min(sessions.killed.values()) > 0, sessions.killed
    ended = [trial for trial in trials if trial.user_attrs.get("outcome") != "interrupted"]
    assert Counter(trial.state for trial in ended) == {TrialState.COMPLETE: TRIALS}
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    origins = Counter(origin_of(trial) for trial in ended)
    assert max(origins.values()) == 1, "an experiment was counted twice"
    assert {origin_of(trial) for trial in trials} == set(origins), "an interrupted experiment was not run again"
    attempts = Counter(int(run.data.tags["trial"]) for run in runs if "trial" in run.data.tags)
    assert max(attempts.values()) == 1, "two runs of one attempt"
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}
    assert {int(run.data.tags["trial"]) for run in runs if run.data.tags.get("state") == "complete"} == {
        trial.number for trial in ended
    }
    samples = study_samples(config, Places(folder / "undisturbed"), progress=ignore, notify=ignore)
    assert isinstance(samples, Store)
    for trial in random.Random(7).sample(ended, min(8, len(ended))):
        assert trial.value == undisturbed(trial, config, samples)


def test_a_session_that_leaves_leaves_the_studys_run_to_the_others(
    hms_search: CommandLine, recordings: Path, postgres_url: str
) -> None:
    tracking = f"sqlite:///{hms_search.folder}/mlflow.db"
    arguments = ("--storage", postgres_url, "--tracking-uri", tracking)
    sessions = Sessions(hms_search.folder, "left", arguments)
    settings = [part for one in (*SETTINGS, "name=left", "trials=1000") for part in ("--set", one)]
    sessions.start("run", str(hms_search.folder / "small.yaml"), "--data", str(recordings), *settings, *arguments)
    try:
        wait_for(lambda: n_owners(postgres_url, "left") == 1, timeout_s=120)
        sessions.help_until_over(1)
        wait_for(lambda: n_owners(postgres_url, "left") == 2, timeout_s=120)
        for process, left in zip(reversed(sessions.processes), ("RUNNING", "FINISHED"), strict=True):
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            (study_run,) = [run for run in stored_runs(tracking, "left") if run.data.tags["kind"] == "study"]
            assert study_run.info.status == left
    finally:
        sessions.stop()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_in_a_file_has_one_session_whatever_the_folder(
    hms_search: CommandLine, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = hms_search.folder
    url = f"{kind}:///{folder}/shared/studies"
    (folder / "shared").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "other_name").symlink_to(folder / "shared")
    run = ("run", f"{folder}/small.yaml", "--data", f"{folder}/recordings", "--tracking-uri", "none")
    run = (*run, "--set", "space.base.training.epochs=2000")
    process = hms_search.start(*run, "--storage", url)
    wait_for(lambda: any(trial.intermediate_values for trial in stored_trials(url, "small")), timeout_s=120)
    monkeypatch.chdir(folder / "elsewhere")
    refused = hms_search(*run, "--storage", url.replace("shared", "other_name"), code=2)
    assert "study 'small' is being run or promoted by another process" in refused
    (folder / "elsewhere" / "mlruns" / "optuna.db").unlink(missing_ok=True)
    there = ("--storage", url, "--tracking-uri", "none", "--to-storage", f"sqlite:///{folder}/copy.db")
    assert "is being run" in hms_search("migrate", "small", *there, "--to-tracking-uri", "none", code=2)
    said = "trials were left running by a session that died"
    assert said not in hms_search("doctor", "small", "--storage", url, "--tracking-uri", "none")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert said in hms_search("doctor", "small", "--storage", url, "--tracking-uri", "none")
    assert [trial.number for trial in stored_trials(url, "small")] == [0]


def n_owners(url: str, study: str) -> int:
    return len({owner_of(trial) for trial in stored_trials(url, study)} - {""})


class Pace:
    """How far the study is; the database is asked once a second at most."""

    def __init__(self, url: str) -> None:
        self._url, self._asked, self._n = url, 0.0, 0

    def n_ended(self) -> int:
        if time.monotonic() > self._asked + 1:
            self._asked, self._n = time.monotonic(), n_ended(self._url, STUDY)
        return self._n


def started(url: str) -> bool:
    return any(trial.intermediate_values for trial in stored_trials(url, STUDY))


def ignore(*_: object) -> None:
    """Say nothing."""


def undisturbed(trial: FrozenTrial, config: StudyConfig, samples: Store) -> float:
    """Return the value of a trial's configuration and seed, trained here and now."""
    found = run_experiment(
        config.space.suggest(FixedTrial(trial.params)),
        samples,
        plan_folds(config.folds, samples),
        seed=trial_seed(config.seed, place_of(trial)),
        device="cpu",
        objective=config.objective,
    )
    return found.value
