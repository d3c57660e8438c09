"""Sessions of a study as Slurm jobs, submitted by submitit; they share the study on its database server."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import submitit

from hms_search.errors import StudyError
from hms_search.search.executors import SlurmExecutor

_OF_NOTICE = 0.75
"""Of the time between Slurm's notice and the job's end: a session may take it; the rest is to submit the job again."""


class SessionJob:
    """A command as a job; where Slurm is about to end it, the command ends in order, and the job is queued again."""

    def __init__(self, command: Sequence[str], folder: Path, *, patience_s: float) -> None:
        self._command, self._folder, self._patience_s = tuple(command), folder, patience_s
        self._pid = 0

    def __call__(self) -> None:
        """Run the command; raises StudyError where it fails."""
        process = subprocess.Popen(self._command, cwd=self._folder, preexec_fn=_ignore_notice)
        self._pid = process.pid
        code = process.wait()
        if code != 0:
            raise StudyError(f"the session ended with exit code {code}; its output stands above")

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Let the session put its trials back, and return what is to be submitted again; submitit calls it.

        A session that does not end within ``patience_s`` is killed, else Slurm would end this process first, and
        nothing would be submitted; other sessions take up its trials.
        """
        os.kill(self._pid, signal.SIGTERM)
        until = time.monotonic() + self._patience_s
        while not self._has_ended():
            if time.monotonic() > until:
                os.kill(self._pid, signal.SIGKILL)
                break
            time.sleep(0.1)
        again = SessionJob(self._command, self._folder, patience_s=self._patience_s)
        return submitit.helpers.DelayedSubmission(again)

    def _has_ended(self) -> bool:
        """Say so without Popen.wait, which submitit's signal has interrupted, and which holds a lock."""
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def submit_sessions(
    executor: SlurmExecutor, count: int, command: Sequence[str], *, name: str, folder: Path
) -> list[submitit.Job[None]]:
    """Return ``count`` submitted jobs that run a command where this process runs; their output goes to ``folder``.

    Raises StudyError where there is no Slurm.
    """
    try:
        submitter = submitit.AutoExecutor(folder, executor.scheduler, slurm_max_num_timeout=executor.requeues)
    except RuntimeError as error:
        raise StudyError(f"{error}; executor slurm is used on a machine from which jobs are submitted") from error
    submitter.update_parameters(
        name=f"hms-search-{name}",
        timeout_min=max(1, round(60 * executor.hours)),
        cpus_per_task=executor.cpus,
        gpus_per_node=executor.gpus or None,
        mem_gb=executor.memory_gb,
        slurm_partition=executor.partition,
        slurm_account=executor.account,
        slurm_signal_delay_s=executor.notice_s,
    )
    with submitter.batch():
        job = SessionJob(command, Path.cwd(), patience_s=_OF_NOTICE * executor.notice_s)
        return [submitter.submit(job) for _ in range(count)]


def _ignore_notice() -> None:
    """Leave Slurm's notice, which goes to all processes of a job, to the one that submitit runs in."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
