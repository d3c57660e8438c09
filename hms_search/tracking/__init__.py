"""Tracking: every study and trial as a run; the only home of MLflow."""

from pathlib import Path

from hms_search.tracking import environment as environment

# isort: split
# Only now, under the environment's rules, may MLflow be imported.
from hms_search.tracking.address import kept_destination
from hms_search.tracking.address import sync_line as sync_line
from hms_search.tracking.contract import Outcome, Run, Tracker, Waiting
from hms_search.tracking.journaled import JournaledTracker
from hms_search.tracking.memory import MemoryRun, MemoryTracker, NullTracker
from hms_search.tracking.mlflow_runs import MlflowTracker
from hms_search.tracking.reading import RunReader, RunRecord

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"
NO_TRACKING = "none"

__all__ = [
    "DEFAULT_TRACKING_URI",
    "NO_TRACKING",
    "JournaledTracker",
    "MemoryRun",
    "MemoryTracker",
    "MlflowTracker",
    "NullTracker",
    "Outcome",
    "Run",
    "RunReader",
    "RunRecord",
    "Tracker",
    "Waiting",
    "open_journaled",
    "open_tracker",
    "sync_line",
]


def open_tracker(uri: str, artifacts: Path, *, study: str) -> Tracker:
    """Return the tracker of a study at an MLflow URI; ``"none"`` keeps nothing.

    Raises TrackingError where the URI is not understood or nothing answers there.
    """
    return NullTracker() if uri == NO_TRACKING else MlflowTracker(uri, artifacts, study=study)


def open_journaled(
    uri: str, artifacts: Path, journals: Path, *, study: str, lag_s: float | None = None, also: str | None = None
) -> Tracker:
    """Return the tracker of a study that keeps in ``journals`` what MLflow cannot be told now.

    What lies there for another MLflow stays, unless that is ``also``: an address that this one had before.

    Whether the URI is understood and answers turns out when the study is started. With ``lag_s`` a thread
    tells MLflow of runs, at moments within so many seconds, so that trials do not wait for it; ``send_waiting`` waits
    until that has told all.
    """
    if uri == NO_TRACKING:
        return NullTracker()
    earlier = () if also is None else (kept_destination(also, journals),)
    to = kept_destination(uri, journals)
    return JournaledTracker(
        lambda: MlflowTracker(uri, artifacts, study=study), journals, lag_s=lag_s, to=to, also=earlier
    )
