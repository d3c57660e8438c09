"""The commands that read a study and run nothing of it."""

from pathlib import Path
from typing import Annotated

import typer

from hms_search.cli.options import DataOption, NameOption, StorageOption, TrackingOption

studies_app = typer.Typer()


@studies_app.command()
def narrow(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the space to this YAML file.", show_default=False)
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Narrow a study's space by its trials: what moves, what is dropped or frozen, and why.

    The file can be edited and run: name it as the space of another study.
    """
    from hms_search.cli.narrow import narrow_command
    from hms_search.search.places import Places

    narrow_command(study, output, Places(storage_url=storage))


@studies_app.command()
def doctor(
    study: Annotated[str | None, typer.Argument(help="A study's name, to look at it too.", show_default=False)] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Look for what is wrong with the installation, the stores and a study; the exit code is 2 where there is an error.

    Each finding names its evidence and what to change. Where libraries are broken nothing else is looked at.
    """
    from hms_search.cli.findings import print_counts, print_installation

    unseen = "stores" if study is None else f"stores and study {study}"
    found, works = print_installation(Path("mlruns"), unseen=unseen)
    if works:
        from hms_search.cli.doctor import doctor_command
        from hms_search.search.places import Places

        found += doctor_command(study, Places(storage_url=storage, tracking=tracking_uri))
    raise typer.Exit(print_counts(found))


@studies_app.command()
def plan(
    study: Annotated[Path, typer.Argument(help="The study's YAML file.", show_default=False)],
    data: DataOption = None,
    trials: Annotated[int | None, typer.Option(help="The study's total, earlier sessions included.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path=value in the study; may be repeated.")
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Say what a study will take (trials, epochs, hours, bytes) and what it changes of the stored one; run nothing.

    Hours come from a few batches that are timed on this machine.
    """
    from hms_search.cli.plan import plan_command
    from hms_search.cli.settings import run_settings
    from hms_search.search.places import Places

    chosen = run_settings(study, settings or (), {"data.root": data, "trials": trials})
    plan_command(study, chosen, Places(storage_url=storage))


@studies_app.command()
def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    name: NameOption = None,
    storage: StorageOption = None,
) -> None:
    """Serve optuna-dashboard alone, read-only, as a service does; Ctrl-C stops it."""
    from hms_search.cli.dashboard import dashboard_command
    from hms_search.search.places import Places

    dashboard_command(Places(storage_url=storage), host=host, port=port, names=name or ())


@studies_app.command()
def gc(
    study: Annotated[str | None, typer.Argument(help="A study's name; default: all.", show_default=False)] = None,
    stores: Annotated[bool, typer.Option("--stores", help="Also prepared recordings that no study reads.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Remove what may go; without it nothing is touched.")] = False,
    storage: StorageOption = None,
) -> None:
    """Say what checkpoints take and which of them may go: those of trials that have ended. With --apply, remove them.

    What an interrupted study goes on with, a paused trial, or one that is queued to run again is always kept.
    """
    from hms_search.cli.gc import gc_command
    from hms_search.search.places import Places

    gc_command(study, Places(storage_url=storage), stores=stores, apply=apply)


@studies_app.command()
def migrate(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    to_storage: Annotated[
        str | None, typer.Option("--to-storage", help="Optuna storage URL to copy to; default: mlruns/optuna.db.")
    ] = None,
    to_tracking_uri: Annotated[
        str | None, typer.Option("--to-tracking-uri", help="MLflow URI to copy to; default: mlruns/mlflow.db.")
    ] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Copy a study as it is, its rounds, runs, files and registered models to a server, or back from one.

    It is the same study there: run it on, show it, promote it. Nothing is removed here; repeat the command after an
    interruption, or to bring what was added.

    Another thing is run --migrate OLD: a new study, of a changed space, takes over the trials of OLD that fit.

    hms-search migrate STUDY --to-storage postgresql://... --to-tracking-uri http://...
    """
    from hms_search.cli.migrate import migrate_command
    from hms_search.search.places import Places

    source = Places(storage_url=storage, tracking=tracking_uri)
    migrate_command(study, source, Places(storage_url=to_storage, tracking=to_tracking_uri))
