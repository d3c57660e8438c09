"""``hms-search models``: what has been promoted, and what is champion."""

from rich.console import Console
from rich.table import Table

from hms_search.cli.promote import model_scores
from hms_search.promotion.models import known_models
from hms_search.search.session import Places
from hms_search.tracking.registry import RegisteredVersion


def models_command(places: Places) -> None:
    """Print the models of this working directory, the newest first."""
    console = Console(highlight=False)
    models = known_models(places)
    if not models:
        console.print("no models yet; hms-search promote STUDY makes one")
        return
    console.print("out-of-fold KL divergence; interval: 95 % bootstrap over patients")
    table = Table(pad_edge=False)
    for name in ("model", "all", "HIGH", "LOW", "interval"):
        table.add_column(name, no_wrap=True, justify="left" if name == "model" else "right")
    table.add_column("version")
    for model in models:
        if model.card is not None:
            table.add_row(model.name, *model_scores(model.card), "\n".join(_shown(one) for one in model.versions))
    console.print(table)
    for model in models:
        if model.fault:
            console.print(model.fault, style="yellow", markup=False, soft_wrap=True)


def _shown(version: RegisteredVersion) -> str:
    """Return a version with the names it goes by."""
    forced = " (forced)" if version.tags.get("forced") == "true" else ""
    return " ".join((f"{version.name}/{version.version}", *version.aliases)) + forced
