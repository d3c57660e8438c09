"""``hms-search run --executor slurm``: sessions of the study as jobs, followed to their end."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hms_search.cli.tables import print_report
from hms_search.errors import ConfigError, StudyError, TrackingError
from hms_search.search.executors import SlurmExecutor
from hms_search.search.places import Places
from hms_search.search.report import find_report
from hms_search.search.storage import close_storage, existing_storage, is_server, open_storage
from hms_search.search.study import StudyConfig
from hms_search.tracking.address import sqlite_path

_LOOK_S = 5.0


def submit_command(
    path: Path, settings: Sequence[str], config: StudyConfig, executor: SlurmExecutor, places: Places
) -> None:
    """Submit a job per worker of a study, say how each ends, and print the report; Ctrl-C leaves the jobs alone."""
    try:
        from hms_search.search.slurm import submit_sessions
    except ImportError:
        raise ConfigError(
            'executor slurm needs the package submitit, found none; pip install "hms-search[slurm]"'
        ) from None
    _refuse_files(places)
    _tell_jobs(places)
    chosen = [word for setting in settings for word in ("--set", setting)]
    alone = ("--set", 'executor={"name": "local"}', "--workers", "1")
    command = (sys.executable, "-m", "hms_search", "run", str(path), *chosen, *alone)
    folder = places.root / "slurm" / config.name
    jobs = submit_sessions(executor, config.workers, command, name=config.name, folder=folder)
    console = Console(highlight=False, emoji=False)
    console.print(f"jobs {', '.join(job.job_id for job in jobs)}; their output: {folder}", markup=False)
    waiting = list(jobs)
    while waiting:
        time.sleep(_LOOK_S)
        for job in [job for job in waiting if job.done()]:
            waiting.remove(job)
            console.print(f"job {job.job_id}: {job.state.lower()}", markup=False)
    with existing_storage(places.storage) as storage:
        print_report(find_report(storage, config.name), console=console)


def _refuse_files(places: Places) -> None:
    if not is_server(places.storage):
        raise StudyError(
            "executor slurm: the study would be in a file, which one session has alone; name a database server that "
            "all machines reach: HMS_SEARCH_STORAGE=postgresql+psycopg://user@host/database"
        )
    close_storage(open_storage(places.storage))  # it can be reached
    if sqlite_path(places.tracking_uri) is not None:
        raise TrackingError(
            "executor slurm: the runs would be kept in a file; name an MLflow server that all machines reach: "
            "HMS_SEARCH_TRACKING_URI=http://HOST:5000"
        )


def _tell_jobs(places: Places) -> None:
    """Leave the addresses to the jobs in the environment, which Slurm passes on: they may hold passwords."""
    os.environ["HMS_SEARCH_STORAGE"] = places.storage
    os.environ["HMS_SEARCH_TRACKING_URI"] = places.tracking_uri
