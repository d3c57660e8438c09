"""A study in jobs that a scheduler may take the machine from; submitit runs them as processes here."""

import os
import signal
import subprocess
from contextlib import suppress

import psutil
import pytest
from command_line import CommandLine, wait_for
from optuna.trial import TrialState
from stored_trials import stored_trials

RUN = ("run", "small.yaml", "--data", "recordings", "--executor", "slurm", "--set", "executor.scheduler=local")
STUDY = "preempted"  # of its own: other tests have studies in the same database
_JOB = "submitit.core._submit"


def jobs_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that a scheduler would send its notice to."""
    return [one for one in psutil.Process(process.pid).children(recursive=True) if _JOB in one.cmdline()]


@pytest.mark.slow
def test_a_preempted_job_puts_its_trial_back_and_goes_on_with_it(hms_search: CommandLine, postgres_url: str) -> None:
    arguments = (*RUN, "--trials", "2", "--set", "space.base.training.epochs=5", "--set", f"name={STUDY}")
    process = hms_search.start(*arguments, "--storage", postgres_url, "--tracking-uri", "none")
    try:
        wait_for(lambda: any(trial.intermediate_values for trial in stored_trials(postgres_url, STUDY)), timeout_s=120)
        (job,) = jobs_of(process)
        for one in (job, *job.children(recursive=True)):  # as Slurm does
            one.send_signal(signal.SIGUSR2)
        output, _ = process.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    assert ": finished" in output
    trials = stored_trials(postgres_url, STUDY)
    (put_back,) = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert put_back.user_attrs["outcome"] == "interrupted"
    assert [trial.state for trial in trials if trial != put_back] == [TrialState.COMPLETE] * 2
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == put_back.number]
    assert again.params == put_back.params


def test_jobs_need_a_database_that_all_of_them_reach(hms_search: CommandLine) -> None:
    output = hms_search(*RUN, code=2)
    assert "name a database server" in output
