"""``hms-search sync``: what MLflow could not be told while it was away."""

import re
from pathlib import Path

from rich.console import Console

from hms_search.errors import TrackingError
from hms_search.search.places import Places
from hms_search.tracking import NO_TRACKING, open_journaled
from hms_search.tracking.journal import RunJournal


def sync_command(study: str | None, places: Places, *, earlier: str | None = None) -> None:
    """Send what waits of one study and its rounds, or of all, and say what is left; raises TrackingError where it is.

    What was written for another MLflow stays, unless that is ``earlier``: the address that this one had.
    """
    if places.tracking_uri == NO_TRACKING:
        raise TrackingError("--tracking-uri none takes nothing; name the MLflow that is to be told")
    folder = places.journals("x").parent
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if study is not None:
        names = [name for name in names if re.fullmatch(rf"{re.escape(study)}(\.round\d+)?", name)]
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    left = []
    for name in names:
        journals = places.journals(name)
        before = _behind(journals)
        tracker = open_journaled(places.tracking_uri, places.artifacts, journals, study=name, also=earlier)
        waiting = tracker.send_waiting(insist=True)
        if before:
            console.print(f"{name}: {max(before - waiting.runs, 0)} sent, {waiting.runs} left", markup=False)
        if waiting.runs:
            left.append(f"{name}: {waiting.reason or 'another process is sending them'}")
    if left:
        raise TrackingError("; ".join(left))
    console.print(f"nothing{f' of {study}' if study else ''} waits for MLflow", markup=False)


def _behind(journals: Path) -> int:
    """Return of how many runs something waits: those of trials that wait themselves are kept when all was sent."""
    return sum(RunJournal(path).is_behind for path in journals.iterdir() if path.is_dir() and path.name[0] != ".")
