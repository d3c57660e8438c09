"""``hms-search plan``: what a study will take, before anything of it runs."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hms_search.cli.progress import StepProgress, duration
from hms_search.cli.study_file import given_study
from hms_search.search.places import Places
from hms_search.search.plan import Plan, plan_study
from hms_search.search.space_difference import Difference
from hms_search.search.study import StudyConfig


def plan_command(path: Path, settings: tuple[str, ...], places: Places) -> None:
    """Print the plan of a study."""
    config = given_study(path, settings)
    console = Console(highlight=False, emoji=False)
    with StepProgress(console) as progress:
        plan = plan_study(config, places, progress=progress)
    for line in _lines(plan):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_timings(plan))
    for line in _difference(config, plan.difference):
        console.print(line, markup=False, soft_wrap=True)


def _lines(plan: Plan) -> Iterator[str]:
    there = f", {plan.done} of them there already" if plan.done else ""
    likely, least, most = (duration(3600 * hours) for hours in plan.hours)
    span = f" ({least} to {most})" if least != most else ""
    yield f"study {plan.study}: {plan.trials} trials{there}; {plan.epochs} epochs of all folds"
    yield f"samples: {plan.samples}, counted {plan.counted}"
    yield f"time on {plan.device}: {likely}{span} if nothing is pruned, training and validation alone"
    yield "disk: " + ", ".join(f"{size / 1e6:,.0f} MB {name}" for name, size in plan.bytes_on_disk.items())


def _timings(plan: Plan) -> Table:
    table = Table(title="timed on this machine", title_justify="left")
    for name in ("experiment", "batch", "validation", "trial", "weights"):
        table.add_column(name, justify="left" if name == "experiment" else "right")
    for one in plan.timed:
        batch = one.batch
        seconds = (f"{1000 * batch.training:.0f} ms", f"{1000 * batch.validation:.0f} ms", duration(one.trial_s))
        table.add_row(one.label, *seconds, f"{batch.parameters:,}")
    for label in plan.untimed:
        table.add_row(label, "not timed", "", "", "")
    return table


def _difference(config: StudyConfig, found: Difference) -> Iterator[str]:
    study, another = config.name, f"--set name={config.name}_2"
    alone = " --set rounds=null" if config.rounds is not None else ""
    if found.kind == "new":
        yield f"there is no study {study} yet"
    elif found.kind == "same":
        yield f"the stored study {study} is the same: hms-search run goes on with it"
    elif found.kind == "incompatible":
        yield (
            f"the stored study {study} was something else: none of its {found.trials} trials compare; choose another "
            f"name ({another})"
        )
    elif found.fitting:
        yield (
            f"the space is another than the stored study's: {found.fitting} of its {found.trials} trials lie in it, "
            f"and another study can take them over ({another}{alone} --migrate {study})"
        )
    else:
        yield (
            f"the space is another than the stored study's: none of its {found.trials} trials can be taken over; "
            f"choose another name ({another})"
        )
    yield from (f"  {line}" for line in found.lines)
