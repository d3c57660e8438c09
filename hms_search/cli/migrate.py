"""``hms-search migrate``: a study with its runs in another storage and another MLflow."""

from rich.console import Console

from hms_search.cli.progress import StepProgress
from hms_search.errors import without_password
from hms_search.search.events import Event, Notice
from hms_search.search.places import Places
from hms_search.search.relocation import Relocated, relocate


def migrate_command(study: str, source: Places, target: Places) -> None:
    """Copy a study, and say what was copied and how to go on there."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)

    def notify(event: Event) -> None:
        if isinstance(event, Notice):
            console.print(("warning: " if event.warning else "") + event.text, markup=False)

    with StepProgress(console) as progress:
        done = relocate(study, source, target, notify=notify, progress=progress)
    console.print(_summary(done), markup=False)
    where = without_password(f"--storage {target.storage} --tracking-uri {target.tracking_uri}")
    console.print(f"it is as it was where it came from; go on with it there: {where}", markup=False)


def _summary(done: Relocated) -> str:
    copied, names = done.runs.copied, ", ".join(done.studies)
    what = [
        (done.written, "trials"),
        (copied.runs, "runs"),
        (copied.metrics, "metric values"),
        (copied.files, f"files ({copied.n_bytes / 1e6:,.1f} MB)"),
        (done.runs.versions, "registered models"),
    ]
    copied_now = [f"{count:,} {name}" for count, name in what if count]
    if not copied_now:
        return f"{names}: nothing to copy, all of its {done.trials} trials are there"
    return f"{names}: copied {', '.join(copied_now)}"
