"""Options that several commands take."""

from typing import Annotated

import typer

DataOption = Annotated[
    str | None,
    typer.Option(
        help="Folder with train.csv (or labels.csv), or 'synthetic'. (For a study that names none also "
        "HMS_SEARCH_DATA.)"
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option("--storage", envvar="HMS_SEARCH_STORAGE", help="Optuna storage URL; default: mlruns/optuna.db."),
]
TrackingOption = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="HMS_SEARCH_TRACKING_URI", help="MLflow URI; default: mlruns/mlflow.db."),
]
NameOption = Annotated[
    list[str] | None, typer.Option("--name", help="A host name it also answers to; may be repeated.")
]
