"""The main job on small recordings: real processes, real databases, real signals."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pandas as pd
import psutil
import pytest
from command_line import CommandLine, interrupt, wait_for
from optuna.trial import FrozenTrial, TrialState

from hms_search.tracking.server import mlflow_server

RUN = ("run", "small.yaml", "--data", "recordings")


def trials_of(folder: Path, study: str = "small") -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")
    try:
        return optuna.load_study(study_name=study, storage=storage).trials
    finally:
        storage.engine.dispose()


def runs_of(folder: Path, study: str = "small") -> list[mlflow.entities.Run]:
    experiment = client(folder).get_experiment_by_name(study)
    assert experiment is not None
    return list(client(folder).search_runs([experiment.experiment_id]))


def client(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")


def trial_runs_of(folder: Path) -> dict[int, mlflow.entities.Run]:
    return {int(run.data.tags["trial"]): run for run in runs_of(folder) if "trial" in run.data.tags}


def test_a_study_runs_to_its_end_and_each_trial_is_an_mlflow_run(hms_search: CommandLine) -> None:
    output = hms_search(*RUN)
    trials, runs = trials_of(hms_search.folder), trial_runs_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert trials[0].user_attrs["baseline"]
    assert trials[0].params == {"model.dropout": 0.0, "training.optimiser.lr": 1e-3, "pipeline.normalise": "instance"}
    for trial in trials:
        run = runs[trial.number]
        folds = trial.user_attrs["folds"]
        assert trial.user_attrs["mlflow_run_id"] == run.info.run_id
        assert run.info.status == "FINISHED"
        assert trial.value == pytest.approx(sum(folds) / 2)
        assert sorted(trial.intermediate_values) == [0, 1, 2, 3]
        assert [trial.intermediate_values[1], trial.intermediate_values[3]] == pytest.approx(folds)
        assert run.data.metrics["kl_all/fold1"] == pytest.approx(folds[1])
        assert {"kl_all", "kl_interval_low", "kl_interval_high", "accuracy"} <= run.data.metrics.keys()
        assert float(run.data.params["model.dropout"]) == pytest.approx(trial.params["model.dropout"])
        assert {"space_fingerprint", "data_fingerprint", "git_commit", "version_torch", "seed"} <= run.data.tags.keys()
        assert run.data.tags["threads"] == "1"  # as OMP_NUM_THREADS says
    assert "synthetic" not in output  # the folder was given by its path; only `--data synthetic` knows what it is
    assert "best: trial" in output
    assert "95 % bootstrap over patients" in output


def test_the_same_command_resumes_and_goes_on_to_a_larger_total(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "2")
    first = trials_of(hms_search.folder)
    missing = hms_search(*RUN, "--trials", "4", "--set", "warm_start=[missing.csv]", code=2)
    assert "warm_start: no file missing.csv" in missing
    assert {run.info.status for run in runs_of(hms_search.folder)} == {"FINISHED"}  # the study's is as it was
    output = hms_search(*RUN, "--trials", "4", "--workers", "2")
    trials = trials_of(hms_search.folder)
    assert len(trials) == 4
    assert [trial.params for trial in trials[:2]] == [trial.params for trial in first]
    assert len({tuple(trial.params.items()) for trial in trials}) == 4
    assert "preparing" not in output
    assert {run.info.status for run in runs_of(hms_search.folder)} == {"FINISHED"}


def test_the_same_study_gives_the_same_values_again(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "2")
    hms_search(*RUN, "--trials", "2", "--set", "name=again")
    first, second = trials_of(hms_search.folder), trials_of(hms_search.folder, "again")
    assert [trial.value for trial in first] == [trial.value for trial in second]


def test_one_interrupt_ends_after_the_epoch_and_loses_nothing(hms_search: CommandLine) -> None:
    long = (*RUN, "--set", "space.base.training.epochs=200", "--trials", "2")
    process = hms_search.start(*long)
    wait_for(lambda: _steps(hms_search.folder) >= 2)
    interrupt(process)
    output, _ = process.communicate(timeout=60)
    assert "stopping after the current epoch" in output
    assert "Traceback" not in output
    trials = trials_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.WAITING]
    assert trials[1].user_attrs == {"baseline": True, "retry_of": 0}
    assert trial_runs_of(hms_search.folder)[0].info.status == "KILLED"


def test_two_interrupts_end_at_once(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=2000", "--trials", "2")
    wait_for(lambda: _steps(hms_search.folder) >= 1)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert "RUNNING" not in {run.info.status for run in runs_of(hms_search.folder)}


def test_a_killed_session_is_taken_up_where_it_stopped(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=12", "--trials", "1")
    wait_for(lambda: _steps(hms_search.folder) >= 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    output = hms_search(*RUN, "--set", "space.base.training.epochs=12", "--trials", "1")
    assert "left running by a session that died" in output
    trials = trials_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert trials[0].params == trials[1].params
    assert trials[1].user_attrs["retry_of"] == 0
    assert {number: run.info.status for number, run in trial_runs_of(hms_search.folder).items()} == {
        0: "KILLED",
        1: "FINISHED",
    }


def kill_a_worker(process: "subprocess.Popen[str]") -> None:
    fork_server_and_others = psutil.Process(process.pid).children()
    next(worker for child in fork_server_and_others for worker in child.children()).kill()


def test_the_trial_of_a_killed_worker_is_run_again_from_its_checkpoint(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=6", "--trials", "1")
    wait_for(lambda: _steps(hms_search.folder) >= 2)
    kill_a_worker(process)
    output, _ = process.communicate(timeout=240)
    trials, runs = trials_of(hms_search.folder), trial_runs_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE], output
    assert "SIGKILL" in trials[0].user_attrs["reason"]
    lineage = {name: trials[1].user_attrs[name] for name in ("baseline", "retry_of", "deaths")}
    assert lineage == {"baseline": True, "retry_of": 0, "deaths": 1}
    assert {number: run.info.status for number, run in runs.items()} == {0: "KILLED", 1: "FINISHED"}
    done = len(trials[0].intermediate_values)
    assert list(trials[1].intermediate_values.values())[:done] == list(trials[0].intermediate_values.values())


def test_a_trial_that_keeps_killing_its_worker_fails_and_the_study_goes_on(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=6", "--set", "retries=0", "--trials", "2")
    wait_for(lambda: _steps(hms_search.folder) >= 1)
    kill_a_worker(process)
    output, _ = process.communicate(timeout=240)
    trials = trials_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE], output
    assert "SIGKILL" in trials[0].user_attrs["reason"]
    assert trial_runs_of(hms_search.folder)[0].info.status == "FAILED"


def test_a_search_that_prunes_everything_says_so_early_and_still_finishes_some(hms_search: CommandLine) -> None:
    strict = "pruner={name: threshold, upper: 0.001, floor: 0.2, audit: 0}"
    output = hms_search(*RUN, "--trials", "12", "--set", strict)
    trials, runs = trials_of(hms_search.folder), trial_runs_of(hms_search.folder)
    states = [trial.state for trial in trials]
    assert states[0] == TrialState.COMPLETE  # the baseline is never pruned
    assert states[1:].count(TrialState.COMPLETE) == 2  # of eleven, a fifth
    assert states[1:].count(TrialState.PRUNED) == 9
    spared = [trial for trial in trials[1:] if trial.state == TrialState.COMPLETE]
    assert [trial.user_attrs["spared_at"] for trial in spared] == [1, 1]
    assert {runs[n].info.status for n, state in enumerate(states) if state == TrialState.PRUNED} == {"KILLED"}
    assert "every trial is pruned: 4 of 4 trials besides the baseline were to be pruned, at " in output


def test_paused_trials_go_on_in_their_runs_and_the_rest_counts_as_pruned(hms_search: CommandLine) -> None:
    pausing = "pruner={name: pausing_halving, min_epochs: 1, reduction_factor: 2, floor: 0, straight: 0}"
    hms_search(*RUN, "--trials", "7", "--set", pausing)
    trials, runs = trials_of(hms_search.folder), trial_runs_of(hms_search.folder)
    steps = [len(trial.intermediate_values) for trial in trials]
    ended = [trial.state for trial in trials]
    assert steps[0] == 4  # the baseline is not paused
    assert set(steps) == {1, 2, 4}
    assert [state == TrialState.COMPLETE for state in ended] == [count == 4 for count in steps]
    assert set(ended) == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        logged = [
            point.step
            for fold in (0, 1)
            for point in client(hms_search.folder).get_metric_history(
                runs[trial.number].info.run_id, f"kl_all/fold{fold}"
            )
        ]
        assert logged == [step % 2 for step in range(steps[trial.number])]  # no epoch is logged twice
        assert runs[trial.number].info.status == ("FINISHED" if steps[trial.number] == 4 else "KILLED")
        rungs = 0 if trial.number == 0 else {1: 1, 2: 2, 4: 2}[steps[trial.number]]  # one that waits goes on to end
        assert int(runs[trial.number].data.tags.get("hms_search.leg", 0)) == rungs
    assert not list((hms_search.folder / "mlruns" / "trials").rglob("*.pt"))


def test_trials_that_pause_or_take_turns_end_with_the_values_of_those_that_do_neither(hms_search: CommandLine) -> None:
    pausing = "pruner={name: pausing_halving, min_epochs: 1, reduction_factor: 2, floor: 1, straight: 0}"
    interleaved = "schedule={name: interleaved}"
    hms_search(*RUN, "--trials", "2", "--set", pausing)
    hms_search(*RUN, "--trials", "2", "--set", "name=turns", "--set", pausing, "--set", interleaved)
    hms_search(*RUN, "--trials", "2", "--set", "name=straight", "--set", "pruner={name: none}")
    paused, turns, straight = (trials_of(hms_search.folder, name)[1] for name in ("small", "turns", "straight"))
    values = straight.intermediate_values
    assert paused.intermediate_values == values
    assert turns.intermediate_values == {0: values[0], 1: values[2], 2: values[1], 3: values[3]}
    for trial in (paused, turns):
        assert (trial.state, trial.params, trial.value) == (TrialState.COMPLETE, straight.params, straight.value)
        assert trial.user_attrs["folds"] == straight.user_attrs["folds"]


def test_a_diverging_trial_fails_with_its_reason_and_a_hopeless_study_stops(hms_search: CommandLine) -> None:
    output = hms_search(
        *RUN,
        *("--set", "space.base.training.optimiser={name: sgd, lr: 1.0e+30}"),
        *("--set", "space.parameters.training.optimiser.lr={type: float, low: 1.0e+29, high: 1.0e+31}"),
        *("--trials", "8"),
        code=1,
    )
    trials = trials_of(hms_search.folder)
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 3
    assert "lr" in trials[0].user_attrs["reason"]
    assert "all of the first 3 trials failed" in output
    assert {run.info.status for run in trial_runs_of(hms_search.folder).values()} == {"FAILED"}


def test_a_study_resumed_with_something_changed_is_refused(hms_search: CommandLine, recordings: Path) -> None:
    copy = hms_search.folder / "copy"
    copy.mkdir()
    for folder in ("train_eegs", "train_spectrograms"):
        (copy / folder).symlink_to(recordings / folder)
    table = pd.read_csv(recordings / "train.csv")
    table.to_csv(copy / "train.csv", index=False)
    run = ("run", "small.yaml", "--data", "copy")
    hms_search(*run, "--trials", "1")
    output = hms_search(*run, "--trials", "2", "--set", "space.parameters.model.dropout.high=0.4", code=2)
    assert re.search(r"error: study 'small' has 1 trials with another space: .*model.dropout.high: 0.5 -> 0.4", output)
    assert "another data" in hms_search(*run, "--trials", "2", "--set", "data.sampling.name=label", code=2)
    table["other_vote"] += 1
    table.to_csv(copy / "train.csv", index=False)
    output = hms_search(*run, "--trials", "2", code=2)
    assert "another data" in output
    assert "Its trials are kept" in output
    assert len(trials_of(hms_search.folder)) == 1


def test_bad_recordings_are_named_and_the_rest_is_used(hms_search: CommandLine, recordings: Path) -> None:
    broken = hms_search.folder / "broken"
    for folder in ("train_eegs", "train_spectrograms"):
        (broken / folder).mkdir(parents=True)
        for file in (recordings / folder).iterdir():
            (broken / folder / file.name).symlink_to(file)
    table = pd.read_csv(recordings / "train.csv")
    table.loc[0, [column for column in table if column.endswith("_vote")]] = 0
    table.to_csv(broken / "train.csv", index=False)
    truncated, disordered, empty = sorted((broken / "train_spectrograms").iterdir())[-3:]
    content, frame, gone = truncated.read_bytes(), pd.read_parquet(disordered), pd.read_parquet(empty)
    for file in (truncated, disordered, empty):
        file.unlink()
    truncated.write_bytes(content[: len(content) // 2])
    frame[[*frame.columns[:1], *frame.columns[:0:-1]]].to_parquet(disordered)
    gone.iloc[:, 1:] = np.float32("nan")
    gone.to_parquet(empty)
    output = hms_search("run", "small.yaml", "--data", "broken", "--trials", "1")
    assert "4 files and rows were rejected, all listed in" in output
    rejected = pd.read_csv(next((hms_search.folder / "mlruns" / "stores").glob("broken-*")) / "rejected.csv")
    reasons = dict(zip(rejected["id"].astype(str), rejected["reason"], strict=True))
    assert "unreadable" in reasons[truncated.stem]
    assert "order" in reasons[disordered.stem]
    assert "NaN" in reasons[empty.stem] or "missing" in reasons[empty.stem]
    assert any("vote" in reason for reason in reasons.values())
    assert [trial.state for trial in trials_of(hms_search.folder)] == [TrialState.COMPLETE]


def test_a_time_limit_ends_after_the_epoch_and_the_trial_is_queued_again(hms_search: CommandLine) -> None:
    long = ("--set", "space.base.training.epochs=5000", "--timeout", "20")
    output = hms_search(*RUN, *long, code=1)
    assert "the time is up" in output
    assert "1 interrupted, 1 queued" in output
    assert [trial.state for trial in trials_of(hms_search.folder)] == [TrialState.FAIL, TrialState.WAITING]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nothing.yaml"), "error: no such file: nothing.yaml"),
        (("run", "small.yaml"), "error: no data: give the folder with train.csv as --data ROOT"),
        (("run", "small.yaml", "--data", "nowhere"), "error: no such data folder: nowhere"),
        ((*RUN, "--set", "trails=3"), "unknown key 'trails'; did you mean 'trials'?"),
        ((*RUN, "--set", "folds.n_folds=50"), "n_folds is 50, the samples are of 8 patients"),
        ((*RUN, "--storage", "postgres://nobody@localhost:1/x"), "error: "),
        (("show", "nothing"), "error: there are no studies yet"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    hms_search: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    output = hms_search(*arguments, code=2)
    assert words in output
    assert "Traceback" not in output


@pytest.mark.postgres
def test_a_study_runs_on_postgresql_and_a_tracking_server(
    hms_search: CommandLine, postgres_url: str, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    database = f"sqlite:///{tmp_path / 'server.db'}"
    with mlflow_server(database, tmp_path / "artifacts", host="127.0.0.1", port=port) as server:
        hms_search(*RUN, "--trials", "2", "--storage", postgres_url, "--tracking-uri", server.address)
        assert "best: trial" in hms_search("show", "small", "--storage", postgres_url)
        client = mlflow.MlflowClient(server.address)
        runs = client.search_runs([client.get_experiment_by_name("small").experiment_id])
        assert sorted(run.info.status for run in runs) == ["FINISHED"] * 3
        trial = next(run for run in runs if run.data.tags.get("trial") == "0")
        names = {file.path for file in client.list_artifacts(trial.info.run_id)}
        assert {"config.yaml", "learning_curve.png"} <= names
    assert not (hms_search.folder / "mlruns" / "optuna.db").exists()


def test_two_sessions_of_one_study_exclude_each_other(hms_search: CommandLine) -> None:
    process = hms_search.start(*RUN, "--set", "space.base.training.epochs=2000")
    wait_for(lambda: _steps(hms_search.folder) >= 1)
    output = hms_search(*RUN, code=2)
    assert "being run or promoted by another process" in output
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def _steps(folder: Path) -> int:
    """Return how many epochs the study knows; only reads, so that it cannot meddle with a database being made."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'mlruns' / 'optuna.db'}?mode=ro", uri=True)) as database:
            return int(database.execute("select count(*) from trial_intermediate_values").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0
