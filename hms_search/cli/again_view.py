"""Trials run again, and what that found."""

from rich.console import Console

from hms_search.cli.progress import StepProgress
from hms_search.cli.promote import print_notice
from hms_search.cli.tables import print_again
from hms_search.promotion.again import AgainRequest, run_again
from hms_search.search.places import Places
from hms_search.search.report import find_report
from hms_search.search.storage import existing_storage


def again_command(request: AgainRequest, places: Places) -> None:
    """Run trials again and print what that found."""
    console = Console(highlight=False, emoji=False)
    with StepProgress(console) as progress:
        found = run_again(request, places, notify=lambda event: print_notice(event, console), progress=progress)
    with existing_storage(places.storage) as storage:
        print_again(found, find_report(storage, request.study), console)
