"""``hms-search data``: look at a folder of recordings, prepare it, make a synthetic one, look at one file."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

data_app = typer.Typer(no_args_is_help=True, help="Check, prepare, make up and look at recordings.")

RootArgument = Annotated[Path, typer.Argument(help="The folder that holds train.csv.", show_default=False)]
CheckedArgument = Annotated[
    Path, typer.Argument(help="The folder that holds train.csv, or labels.csv.", show_default=False)
]
WorkersOption = Annotated[int | None, typer.Option(help="Processes; default: one per core.")]


@data_app.command()
def check(root: CheckedArgument, workers: WorkersOption = None) -> None:
    """Check a folder, in the Kaggle layout or with labels.csv, and report everything that is wrong at once."""
    from hms_search.cli.data_views import print_findings
    from hms_search.cli.progress import StepProgress
    from hms_search.data.check import check as check_folder
    from hms_search.data.seizure_types import check_seizure_types, is_seizure_folder

    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        if is_seizure_folder(root):
            report = check_seizure_types(root, on_progress=lambda step: progress(f"checking {root}", step))
        else:
            report = check_folder(root, workers=workers, on_progress=lambda step: progress(f"checking {root}", step))
    raise typer.Exit(print_findings(report))


@data_app.command()
def prepare(
    root: RootArgument,
    out: Annotated[Path | None, typer.Option(help="The Store's folder; default: under mlruns/stores.")] = None,
    workers: WorkersOption = None,
    bake: Annotated[
        Path | None, typer.Option(help="A study's YAML file: also compute its EEG representation, once for all trials.")
    ] = None,
) -> None:
    """Write the Store that training reads; a second call after a kill goes on where the first stopped."""
    from hms_search.cli.data_views import print_prepared
    from hms_search.cli.progress import StepProgress
    from hms_search.data.prepare import prepare as prepare_store
    from hms_search.search.places import Places
    from hms_search.search.study import read_study
    from hms_search.search.study_data import open_store

    store = out if out is not None else Places().store(root)
    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        report = prepare_store(
            root, store, workers=workers, on_progress=lambda step: progress(f"preparing {root}", step)
        )
        baked = None if bake is None else open_store(read_study(bake, ("data.baked=true",)), store, progress=progress)
    print_prepared(report, baked)


@data_app.command()
def synthetic(
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or new.", show_default=False)],
    patients: Annotated[int, typer.Option(help="Number of patients.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed writes the same recordings.")] = 0,
    task: Annotated[
        Literal["hms", "seizure_types"], typer.Option(help="seizure_types: files of eight types, with labels.csv.")
    ] = "hms",
    workers: WorkersOption = None,
) -> None:
    """Write SYNTHETIC intensive-care EEG in the Kaggle layout, or seizures, for demonstration and tests."""
    from hms_search.cli.data_views import print_synthetic, print_synthetic_seizures
    from hms_search.cli.progress import StepProgress
    from hms_search.data.progress import Progress
    from hms_search.data.synthetic import write_synthetic
    from hms_search.data.synthetic.seizure_types import write_synthetic_seizures

    if task == "seizure_types":
        print_synthetic_seizures(write_synthetic_seizures(folder, n_patients=patients, seed=seed))
        return
    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        report = write_synthetic(
            folder,
            n_patients=patients,
            seed=seed,
            workers=workers,
            on_progress=lambda done, total: progress("writing synthetic recordings", Progress(done, total, 0, 0)),
        )
    print_synthetic(report, folder)


@data_app.command()
def seizures(
    recordings: Annotated[Path, typer.Argument(help="The folder with EDF or BDF files.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="The folder to write; it must be empty or new.", show_default=False)],
    intervals: Annotated[
        Path, typer.Option(help="CSV table: file, start_s, end_s, label, patient.", show_default=False)
    ],
) -> None:
    """Cut seizures out of EDF recordings and write them as data of task seizure_types: FFT samples and labels.csv."""
    from hms_search.cli.progress import StepProgress
    from hms_search.data.seizure_recordings import write_seizures

    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        count = write_seizures(
            recordings, intervals, folder, on_progress=lambda step: progress(f"reading {recordings}", step)
        )
    Console(highlight=False, soft_wrap=True, emoji=False).print(f"{folder}: {count} seizures", markup=False)


@data_app.command()
def show(
    file: Annotated[Path, typer.Argument(help="One spectrogram or EEG parquet file.", show_default=False)],
    steps: Annotated[bool, typer.Option("--steps", help="Follow it through the input pipeline.")] = False,
    space: Annotated[Path | None, typer.Option(help="Take the pipeline of this search space's base.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="path=value in the pipeline; may be repeated.")
    ] = None,
) -> None:
    """Print what is in one file; with --steps, shape and statistics after each step of the pipeline."""
    from hms_search.cli.data_views import print_file, print_steps

    if steps:
        print_steps(file, space, tuple(settings or ()))
    else:
        print_file(file)
