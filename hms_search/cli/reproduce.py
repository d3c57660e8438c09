"""``hms-search reproduce``: a trial run again, and what it says about the record."""

from rich.console import Console
from rich.table import Table

from hms_search.cli.progress import StepProgress
from hms_search.cli.promote import print_notice
from hms_search.promotion.reproduce import Reproduction, reproduce
from hms_search.search.places import Places
from hms_search.training.tasks import HMS

DIFFERS = 1
"""The exit code where a trial does not give the recorded values again."""


def reproduce_command(study: str, trial: int, data: str | None, places: Places) -> int:
    """Run a trial again, print recorded and found values and what has changed since; return the exit code."""
    console = Console(highlight=False, emoji=False)
    with StepProgress(console) as progress:
        found = reproduce(
            study, trial, places, data=data, notify=lambda event: print_notice(event, console), progress=progress
        )
    console.print(_table(found))
    for line in _changes(found):
        console.print(line, markup=False, soft_wrap=True)
    if found.equal:
        verdict = f"equal: all {len(found.recorded)} recorded epochs, to the last bit"
    else:
        unit = " nats" if found.task is HMS else ""
        verdict = f"differs by up to {found.largest_difference:.3g}{unit} in validation {found.task.symbol}"
    console.print(
        f"trial {found.trial} of study {found.study}: {verdict}",
        style="green" if found.equal else "yellow",
        markup=False,
    )
    return 0 if found.equal else DIFFERS


def _table(found: Reproduction) -> Table:
    table = Table()
    for name in ("epoch of the trial", f"recorded {found.task.symbol}", f"found {found.task.symbol}", "difference"):
        table.add_column(name, justify="right")
    for step, value in sorted(found.recorded.items()):
        again = found.found.get(step)
        shown = ("missing", "") if again is None else (f"{again:.6f}", f"{again - value:+.2e}")
        table.add_row(str(step + 1), f"{value:.6f}", *shown)
    return table


def _changes(found: Reproduction) -> list[str]:
    lines = []
    for change in found.changes:
        if change.then == change.now:
            lines.append(f"not certain: {change.what} {change.now} does not say which code ran")
        else:
            lines.append(f"changed since: {change.what} was {change.then}, is {change.now}")
    if not lines and not found.equal:
        lines.append(
            "versions, commit, data, folds, configuration, seed, device and threads are as recorded"
            if found.known
            else "what has changed since is not known"
        )
    return lines
