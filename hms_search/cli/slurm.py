"""``hms-search run --executor slurm``: sessions of the study as jobs, followed to their end."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import optuna
import typer
from rich.console import Console

from hms_search.cli.tables import print_report
from hms_search.errors import ConfigError, StudyError, TrackingError
from hms_search.search.executors import SlurmExecutor
from hms_search.search.lineage import rounds_of
from hms_search.search.places import Places
from hms_search.search.report import find_report
from hms_search.search.round_studies import number_of_rounds
from hms_search.search.storage import close_storage, existing_storage, is_server, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import study_names
from hms_search.tracking.address import sqlite_path


def submit_command(
    path: Path, settings: Sequence[str], config: StudyConfig, executor: SlurmExecutor, places: Places
) -> None:
    """Submit a job per worker of a study, say how each ends, and print the report; Ctrl-C leaves the jobs alone.

    The exit code is 1 where no trial of it has completed; raises StudyError where a job failed.
    """
    try:
        from hms_search.search.slurm import ends_of, submit_sessions
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
    failed = 0
    for job, why in ends_of(jobs):
        failed += why is not None
        said = "finished" if why is None else f"failed: {why}"
        console.print(f"job {job}: {said}", markup=False, soft_wrap=not console.is_terminal)
    error = StudyError(f"{failed} of {len(jobs)} jobs failed; their output: {folder}")
    with existing_storage(places.storage) as storage:
        if failed and config.name not in study_names(storage):
            raise error
        report = find_report(storage, last_round(config, storage))
    print_report(report, console=console)
    if report.best is None:
        raise typer.Exit(1)
    if failed:
        raise error


def last_round(config: StudyConfig, storage: optuna.storages.BaseStorage) -> str:
    """Return the name of the study of the last round that there is: its own name where it has no later ones."""
    return rounds_of(config.name, storage)[: number_of_rounds(config)][-1]


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
