"""The commands of ``hms-search``; each hands over to the library at once.

The library is imported inside the commands: PyTorch and MLflow take seconds, and ``--help`` should not.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from hms_search.cli.again import again_app
from hms_search.cli.data import data_app
from hms_search.cli.model_commands import models_app
from hms_search.cli.options import DataOption, StorageOption, TrackingOption
from hms_search.cli.studies import studies_app
from hms_search.data.disk import telling_of_disk
from hms_search.errors import HmsSearchError
from hms_search.host_memory import collecting_never, keep_freed_memory

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    help="Turn YAML search spaces into Optuna studies over an EEG-classification pipeline.",
)
app.add_typer(data_app, name="data")
app.add_typer(studies_app)
app.add_typer(again_app)
app.add_typer(models_app)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")] = False,
) -> None:
    """Set what holds for every command."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    os.environ["HMS_SEARCH_DEBUG"] = "1" if debug else ""
    keep_freed_memory()


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="The study's YAML file.", show_default=False)],
    data: DataOption = None,
    trials: Annotated[int | None, typer.Option(help="The study's total, earlier sessions included.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds; stops after the epoch that is running.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path=value in the study; may be repeated.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time, one process each.")] = None,
    executor: Annotated[Literal["local", "ray", "slurm"] | None, typer.Option(help="Where they are trained.")] = None,
    address: Annotated[str | None, typer.Option(help="The Ray cluster's: HOST:PORT, or auto; none: one here.")] = None,
    migrate: Annotated[
        str | None,
        typer.Option(
            help="Take over the trials of this study, of another space, that lie in this one. (To move a study: "
            "hms-search migrate.)"
        ),
    ] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run a study, or go on with it: the same command resumes."""
    from hms_search.cli.run import run_command
    from hms_search.cli.settings import run_settings
    from hms_search.search.places import Places

    given = {"data.root": data, "trials": trials, "timeout_s": timeout, "workers": workers, "migrate": migrate}
    given |= {"executor.name": executor, "executor.address": address}
    chosen = run_settings(study, settings or (), given)
    run_command(study, chosen, Places(storage_url=storage, tracking=tracking_uri))


@app.command()
def worker(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    data: Annotated[
        str | None, typer.Option(help="Folder of the recordings here; as in the study where not given.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at a time, one process each.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds; stops after the epoch that is running.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Help a study that is on a database server, from any machine that can reach it; any number of them may."""
    from hms_search.cli.worker import OfThisMachine, worker_command
    from hms_search.search.places import Places

    machine = OfThisMachine(data=data, workers=workers, timeout_s=timeout, device=device)
    worker_command(study, machine, Places(storage_url=storage, tracking=tracking_uri))


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    mlflow_port: Annotated[int, typer.Option(help="Port of the MLflow UI.")] = 5000,
    dashboard_port: Annotated[int, typer.Option(help="Port of optuna-dashboard.")] = 8080,
    app_port: Annotated[int, typer.Option(help="Port of the champion's web app.")] = 7860,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Start the MLflow UI and optuna-dashboard on the local stores, and the champion's web app; Ctrl-C stops all."""
    from hms_search.cli.up import up_command
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    up_command(places, host=host, mlflow_port=mlflow_port, dashboard_port=dashboard_port, app_port=app_port)


@app.command("ls")
def list_studies(storage: StorageOption = None) -> None:
    """List the studies: trials by outcome, the best value and the baseline's."""
    from hms_search.cli.tables import studies_table
    from hms_search.search.places import Places
    from hms_search.search.report import all_reports
    from hms_search.search.storage import existing_storage

    with existing_storage(Places(storage_url=storage).storage) as opened:
        reports = all_reports(opened)
    Console(emoji=False).print(
        studies_table(reports) if reports else "no studies yet; hms-search run STUDY.yaml makes one"
    )


@app.command()
def show(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    top: Annotated[int, typer.Option(help="How many trials to list, best first; 0 for all.")] = 20,
    storage: StorageOption = None,
) -> None:
    """Show a study: its trials, the best beside the baseline, folds, stratum and interval, and its use of the disk."""
    from hms_search.cli.disk import print_disk_use
    from hms_search.cli.tables import print_report
    from hms_search.search.disk_use import disk_use
    from hms_search.search.places import Places
    from hms_search.search.report import find_report
    from hms_search.search.storage import existing_storage

    places = Places(storage_url=storage)
    with existing_storage(places.storage) as opened:
        print_report(find_report(opened, study), top=top)
        print_disk_use(disk_use(opened, study, places))


@app.command()
def sync(
    study: Annotated[str | None, typer.Argument(help="The study's name; all of them without one.")] = None,
    earlier: Annotated[
        str | None,
        typer.Option("--from", help="Also send what was written for this URI, an earlier one of that MLflow."),
    ] = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Tell MLflow what it could not be told while it was away; it may be repeated."""
    from hms_search.cli.sync import sync_command
    from hms_search.search.places import Places

    sync_command(study, Places(tracking=tracking_uri), earlier=earlier)


@app.command()
def report(
    study: Annotated[str, typer.Argument(help="The study's name.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="FILE.html; default: mlruns/reports/STUDY.html.")
    ] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Write a study's report: an HTML page to open offline, and the same as Markdown beside it."""
    with collecting_never():
        from hms_search.cli.report import report_command
        from hms_search.search.places import Places

        report_command(study, output, Places(storage_url=storage, tracking=tracking_uri))


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="Studies' and search spaces' YAML files.", show_default=False)],
) -> None:
    """Check studies and search spaces without running anything; every fault is listed."""
    from hms_search.cli.validate import validate_command

    raise typer.Exit(validate_command(files))


@app.command()
def schema(
    kind: Annotated[Literal["study", "space", "system"], typer.Argument(help="Which kind of YAML file.")] = "study",
) -> None:
    """Print the JSON schema of a kind of YAML file, for an editor's completion."""
    from hms_search.cli.validate import schema_of

    typer.echo(json.dumps(schema_of(kind), indent=2))


def main() -> None:
    """Run the command line: an error is one clear message and exit code 2."""
    try:
        with telling_of_disk(Path("mlruns"), HmsSearchError):
            app()
    except HmsSearchError as error:
        if os.environ.get("HMS_SEARCH_DEBUG"):
            raise
        console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        console.print(f"error: {error}", style="bold red", markup=False)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
