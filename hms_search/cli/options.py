"""Options that several commands take."""

from typing import Annotated

import typer

StorageOption = Annotated[str | None, typer.Option("--storage", help="Optuna storage URL; default: mlruns/optuna.db.")]
TrackingOption = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow URI; default: mlruns/mlflow.db.")]
