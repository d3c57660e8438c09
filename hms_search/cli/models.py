"""``hms-search models``: what has been promoted, and what is champion."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from hms_search.cli.promote import how_to_read, model_scores, score_headings
from hms_search.promotion.models import KnownModel, known_models
from hms_search.search.places import Places
from hms_search.tracking.registry import RegisteredVersion
from hms_search.training.tasks import TASKS, Task


def models_command(places: Places) -> None:
    """Print the models of this working directory, the newest first."""
    console = Console(highlight=False, emoji=False)
    models = known_models(places)
    if not models:
        console.print("no models yet; hms-search promote STUDY makes one")
        return
    for task in TASKS.values():
        of_task = [model for model in models if model.card is not None and model.card.task == task.name]
        if of_task:
            console.print(f"out-of-fold {how_to_read(task)}", soft_wrap=not console.is_terminal)
            console.print(_table(task, of_task))
    for model in models:
        if model.fault:
            console.print(model.fault, style="yellow", markup=False, soft_wrap=True)


def _table(task: Task, models: Sequence[KnownModel]) -> Table:
    table = Table(pad_edge=False)
    for name in ("model", *score_headings(task)):
        table.add_column(name, no_wrap=True, justify="left" if name == "model" else "right")
    table.add_column("version")
    for model in models:
        if model.card is not None:
            table.add_row(model.name, *model_scores(model.card), "\n".join(_shown(one) for one in model.versions))
    return table


def _shown(version: RegisteredVersion) -> str:
    """Return a version with the names it goes by."""
    forced = " (forced)" if version.tags.get("forced") == "true" else ""
    return " ".join((f"{version.name}/{version.version}", *version.aliases)) + forced
