"""A session in a Slurm job that does not end when it is told to."""

import sys
import threading
from pathlib import Path

import pytest

from hms_search.errors import StudyError
from hms_search.search.executors import SlurmExecutor
from hms_search.search.slurm import SessionJob, ends_of, submit_sessions

DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("ready").touch()
time.sleep(600)
"""


@pytest.mark.timeout(120)
def test_a_session_that_does_not_end_is_killed_so_that_its_job_is_submitted_again(tmp_path: Path) -> None:
    command, reasons = (sys.executable, "-c", DEAF), list[str]()
    job = SessionJob(command, tmp_path, patience_s=0.5)

    def run() -> None:
        with pytest.raises(StudyError) as raised:
            job()
        reasons.append(str(raised.value))

    thread = threading.Thread(target=run)
    thread.start()
    while not (tmp_path / "ready").exists():
        thread.join(timeout=0.05)
    again = job.checkpoint()
    thread.join(timeout=60)
    assert reasons == ["the session ended with exit code -9; its output stands above"]
    assert isinstance(again.function, SessionJob)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("pass", None),
        ("raise SystemExit(1)", "the session ended with exit code 1"),
        ("import sys; sys.exit('error: no such folder')", "no such folder"),
        ("raise ValueError('at host://me:s3cret@there')", "ValueError: at host://me:***@there"),
        pytest.param(
            "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
            "it ended without a result",
            marks=pytest.mark.slow,  # submitit waits a quarter of a minute for one
        ),
    ],
)
def test_a_job_that_fails_says_what_its_session_said_last(tmp_path: Path, program: str, why: str | None) -> None:
    executor = SlurmExecutor(scheduler="local")
    jobs = submit_sessions(executor, 1, (sys.executable, "-c", program), name="small", folder=tmp_path)
    assert list(ends_of(jobs, look_s=0.05)) == [(jobs[0].job_id, why)]
