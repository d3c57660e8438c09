"""Sessions of a study as Slurm jobs, submitted by submitit; they share the study on its database server."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import submitit

from hms_search.errors import StudyError, without_password
from hms_search.search.executors import SlurmExecutor

_OF_NOTICE = 0.75
"""Of the time between Slurm's notice and the job's end: a session may take it; the rest is to submit the job again."""
_ENDED = "the session ended with exit code"
_RAISED = re.compile(r"^[\w.]+(?:Error|Exception): (.+)$", re.MULTILINE)
"""The last line of a traceback."""


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
            raise StudyError(f"{_ENDED} {code}; its output stands above")

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


def ends_of(jobs: Sequence[submitit.Job[None]], *, look_s: float = 5.0) -> Iterator[tuple[str, str | None]]:
    """Yield the id of each job when it has ended, and why it failed, None where it did not; look every ``look_s``."""
    waiting = list(jobs)
    while waiting:
        time.sleep(look_s)
        for job in [job for job in waiting if job.done()]:
            waiting.remove(job)
            yield job.job_id, _why_failed(job)


def _why_failed(job: submitit.Job[None]) -> str | None:
    """Return in one line why a job that has ended failed: what its session said last; None where it did not fail.

    The job itself is asked: Slurm knows the states of ended jobs only where it keeps accounts of them.
    """
    error = job.exception()
    if error is None:
        return None
    raised = _RAISED.findall(str(error)) if isinstance(error, submitit.core.utils.FailedJobError) else []
    why = raised[-1] if raised else "it ended without a result"
    if not raised or why.startswith(_ENDED):
        session, _, _ = (job.stderr() or "").partition("submitit ERROR")
        said = [line for line in session.splitlines() if line.strip() and not line.startswith("submitit ")]
        why = said[-1].removeprefix("error: ") if said else why.partition(";")[0]
    return without_password(why)


def _ignore_notice() -> None:
    """Leave Slurm's notice, which goes to all processes of a job, to the one that submitit runs in."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
