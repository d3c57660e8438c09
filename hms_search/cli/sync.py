"""``hms-search sync``: what MLflow could not be told while it was away."""

from rich.console import Console

from hms_search.errors import TrackingError
from hms_search.search.places import Places
from hms_search.tracking import open_journaled


def sync_command(study: str | None, places: Places) -> None:
    """Send what waits of one study or of all, and say what is left; raises TrackingError where something is."""
    folder = places.journals("x").parent
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if study is not None and study not in names:
        names = []
    console = Console(highlight=False, soft_wrap=True)
    left = []
    for name in names:
        journals = places.journals(name)
        before = sum(path.is_dir() for path in journals.iterdir())
        waiting = open_journaled(places.tracking_uri, places.artifacts, journals, study=name).send_waiting(insist=True)
        if before:
            console.print(f"{name}: {before - waiting.runs} sent, {waiting.runs} left")
        if waiting.runs:
            left.append(f"{name}: {waiting.reason or 'another process is sending them'}")
    if left:
        raise TrackingError("; ".join(left))
    console.print("nothing waits for MLflow")
