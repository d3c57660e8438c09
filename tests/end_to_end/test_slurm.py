"""A study in jobs that a scheduler may take the machine from: Slurm's, and submitit's processes."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from command_line import CommandLine, wait_for
from optuna.trial import TrialState
from slurm_cluster import slurm_cluster
from stored_trials import stored_trials

RUN = ("run", "small.yaml", "--data", "recordings", "--executor", "slurm")
HERE = ("--set", "executor.scheduler=local")
_JOB = "submitit.core._submit"


def jobs_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that a scheduler would send its notice to."""
    return [one for one in psutil.Process(process.pid).children(recursive=True) if _JOB in one.cmdline()]


def notify_processes(process: "subprocess.Popen[str]") -> None:
    """Send all processes of the job Slurm's notice, as it does."""
    (job,) = jobs_of(process)
    for one in (job, *job.children(recursive=True)):
        one.send_signal(signal.SIGUSR2)


def notify_slurm(_: "subprocess.Popen[str]") -> None:
    """Have Slurm send its notice."""
    asked = subprocess.run(["squeue", "-h", "-o", "%A"], check=True, capture_output=True, text=True, timeout=60)
    (job,) = asked.stdout.split()
    subprocess.run(["scancel", "--signal=USR2", job], check=True, timeout=60)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Slurm cluster that commands of this process reach."""
    with tempfile.TemporaryDirectory(prefix="hms-search-slurm-") as folder, slurm_cluster(Path(folder)) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.slow
def test_a_preempted_process_puts_its_trial_back_and_goes_on_with_it(
    hms_search: CommandLine, postgres_url: str
) -> None:
    output = preempted(hms_search, postgres_url, "preempted_here", HERE, notify_processes)
    assert ": finished" in output


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_preempted_slurm_job_puts_its_trial_back_and_goes_on_with_it(
    hms_search: CommandLine, postgres_url: str
) -> None:
    preempted(hms_search, postgres_url, "preempted_by_slurm", (), notify_slurm)


def preempted(
    hms_search: CommandLine,
    url: str,
    study: str,
    where: tuple[str, ...],
    notify: Callable[["subprocess.Popen[str]"], None],
) -> str:
    """Run a study of two trials, its job preempted in the first; return what was said."""
    arguments = (*RUN, *where, "--trials", "2", "--set", "space.base.training.epochs=5", "--set", f"name={study}")
    process = hms_search.start(*arguments, "--storage", url, "--tracking-uri", "none")
    try:
        wait_for(lambda: any(trial.intermediate_values for trial in stored_trials(url, study)), timeout_s=120)
        notify(process)
        output, _ = process.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    trials = stored_trials(url, study)
    (put_back,) = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert put_back.user_attrs["outcome"] == "interrupted"
    assert [trial.state for trial in trials if trial != put_back] == [TrialState.COMPLETE] * 2
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == put_back.number]
    assert again.params == put_back.params
    return output


def test_jobs_need_a_database_that_all_of_them_reach(hms_search: CommandLine) -> None:
    output = hms_search(*RUN, *HERE, code=2)
    assert "name a database server" in output


@pytest.mark.slow
def test_jobs_that_fail_are_said_to_although_the_study_has_a_result(hms_search: CommandLine, postgres_url: str) -> None:
    where = ("--set", "name=failing", "--storage", postgres_url, "--tracking-uri", "none")
    hms_search("run", "small.yaml", "--data", "recordings", "--trials", "1", *where)
    output = hms_search("run", "small.yaml", "--executor", "slurm", *HERE, "--data", "/nowhere", *where, code=2)
    assert ": failed: no such data folder: /nowhere;" in output
    assert "study failing: 1 complete" in output
    assert "1 of 1 jobs failed; their output: mlruns/slurm/failing" in output
