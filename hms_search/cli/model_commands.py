"""The commands around final models: promote, blend, predict, explain, serve, export, teach."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hms_search.cli.options import NameOption, StorageOption, TrackingOption

models_app = typer.Typer()


@models_app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="A model, ensemble or bundle folder, champion, candidate, NAME@alias, NAME/version or a run's id.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(help="Folder with test.csv, or else train.csv; of seizures: their files.", show_default=False),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Default: submission.csv; of seizures: predictions.csv.")
    ] = None,
    tta: Annotated[
        Literal["own", "none", "left_right", "flips"],
        typer.Option(help="own: the model's; left_right: the mean with the mirrored head; flips: over four heads."),
    ] = "own",
    batch_size: Annotated[int, typer.Option(min=1, help="Recordings at a time.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Fail where a recording cannot be read.")] = False,
    tracking_uri: TrackingOption = None,
) -> None:
    """Predict the recordings of a folder and write submission.csv, or predictions.csv with a type per seizure.

    A recording that cannot be read gets the model's prior and is listed; the exit code is then 3.
    """
    from hms_search.cli.predict import predict_command
    from hms_search.promotion.models import model_path
    from hms_search.search.places import Places

    folder = model_path(model, Places(tracking=tracking_uri))
    raise typer.Exit(predict_command(folder, data, out, tta=tta, batch_size=batch_size, device=device, strict=strict))


@models_app.command()
def serve(
    model: Annotated[str, typer.Argument(help="What to serve, as for predict.")] = "champion",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    auth: Annotated[
        str | None, typer.Option(envvar="HMS_SEARCH_AUTH", help="user:password, asked of page and endpoint.")
    ] = None,
    name: NameOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    tracking_uri: TrackingOption = None,
) -> None:
    """Serve a model's web app: upload recordings, see what it says and looks at; the same as JSON. For research only.

    The password travels readably: beyond this machine, put a proxy with TLS before it.
    """
    from hms_search.cli.serve import serve_command
    from hms_search.promotion.models import model_path
    from hms_search.search.places import Places

    folder = model_path(model, Places(tracking=tracking_uri))
    serve_command(folder, host=host, port=port, auth=auth, device=device, names=name or ())


@models_app.command()
def export(
    model: Annotated[str, typer.Argument(help="What to export, as for predict.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="A new or empty folder, or an earlier bundle.", show_default=False)],
    tracking_uri: TrackingOption = None,
) -> None:
    """Export a model as a Kaggle bundle: a folder that predicts offline, with torch, timm, pandas and pyarrow alone."""
    from hms_search.cli.export import export_command
    from hms_search.promotion.models import model_path
    from hms_search.search.places import Places

    export_command(model_path(model, Places(tracking=tracking_uri)), folder)


@models_app.command("check-submission")
def check_submission(
    file: Annotated[Path, typer.Argument(help="A submission.csv.", show_default=False)],
    data: Annotated[Path, typer.Option(help="Folder with the test.csv it answers.", show_default=False)],
) -> None:
    """Check a submission by the competition's rules; every rule it breaks is listed."""
    from hms_search.cli.predict import check_command

    check_command(file, data)


@models_app.command()
def ensemble(
    name: Annotated[str, typer.Argument(help="What to call the ensemble.")] = "blend",
    further: Annotated[list[str] | None, typer.Argument(metavar="MORE", help="More of --members, or of --oof.")] = None,
    members: Annotated[
        list[str] | None, typer.Option(help="Promoted models: folder, name, champion, NAME@alias, NAME/version.")
    ] = None,
    oof: Annotated[list[Path] | None, typer.Option("--oof", help="Out-of-fold predictions: .parquet or .csv.")] = None,
    labels: Annotated[Path | None, typer.Option(help="A train.csv, for files without targets or patients.")] = None,
    method: Annotated[
        Literal["mean", "weighted", "nelder-mead", "linear", "stacking"], typer.Option(help="How to blend.")
    ] = "mean",
    space: Annotated[Literal["probabilities", "logits"] | None, typer.Option(help="What is averaged.")] = None,
    fit_on: Annotated[
        Literal["all", "high", "low"] | None,
        typer.Option(help="Rows the blend is fitted on; default: the members' objective, all with --oof."),
    ] = None,
    weights: Annotated[list[str] | None, typer.Option(help='For weighted: "0.25,0.42,0.33".')] = None,
    model_name: Annotated[
        str | None, typer.Option("--name", help="The registered model's name; default: the task's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it champion whatever the gate says; recorded.")] = False,
    tracking_uri: TrackingOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the stacking network and of the intervals.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="FILE.parquet; default: under mlruns/ensembles/NAME.")
    ] = None,
) -> None:
    """Blend models on their out-of-fold predictions, and score the blend on folds it was not fitted on.

    hms-search ensemble NAME --members MODEL MODEL --method nelder-mead

    hms-search ensemble NAME --oof one.parquet two.csv --method nelder-mead
    """
    from hms_search.cli.ensemble import ensemble_command, method_of, models_command, name_and_files
    from hms_search.promotion.ensemble import EnsembleRequest
    from hms_search.search.places import Places

    blend = method_of(method, space, weights or ())
    if members and not oof:
        request = EnsembleRequest(
            name,
            (*members, *(further or ())),
            blend,
            seed=seed,
            fit_on=fit_on,
            model_name=model_name,
            force=force,
        )
        models_command(request, Places(tracking=tracking_uri))
        return
    name, files = name_and_files(name, oof or (), [Path(file) for file in further or ()])
    ensemble_command(name, files, blend, labels=labels, seed=seed, fit_on=fit_on or "all", out=out)


@models_app.command()
def promote(
    study: Annotated[str | None, typer.Argument(help="The study's name.", show_default=False)] = None,
    system: Annotated[
        str | None, typer.Option(help="Rebuild a published ensemble: a file, or a name in studies/systems.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="With --system: path=value in every member's study.")
    ] = None,
    trial: Annotated[int | None, typer.Option(help="Promote this trial; goes before --top.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of the best distinct designs.")] = 1,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of the final model; default: the study's, 5.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; default: the study's, else the trial's.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings under different seeds, averaged.")] = None,
    data: Annotated[str | None, typer.Option(help="The study's recordings, where they lie elsewhere now.")] = None,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="First run the five best again on other folds, and choose by that.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="The registered model's name; default: the task's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it champion whatever the gate says; recorded.")] = False,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Train the best trials' final models, register them, and crown one that is better beyond chance.

    hms-search promote STUDY --top 3

    hms-search promote --system place15 --data ROOT
    """
    from hms_search.cli.promote import promote_command, promoted_study, system_command
    from hms_search.promotion.promote import PromotionRequest
    from hms_search.promotion.system import SystemRequest
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    size = {"n_folds": folds, "epochs": epochs, "seeds": seeds}
    shared: dict[str, Any] = {"data": data, **size, "force": force}
    if system is not None:
        system_command(
            SystemRequest(system, settings=tuple(settings or ()), model_name=name or "hms", **shared), places
        )
    else:
        chosen: dict[str, Any] = {"trial": trial, "top": top, "recheck": recheck}
        promote_command(PromotionRequest(promoted_study(study), **chosen, model_name=name, **shared), places)


@models_app.command()
def models(tracking_uri: TrackingOption = None) -> None:
    """List the promoted models and ensembles: scores, versions, and which is champion."""
    from hms_search.cli.models import models_command
    from hms_search.search.places import Places

    models_command(Places(tracking=tracking_uri))


@models_app.command()
def teach(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    trial: Annotated[int | None, typer.Option(help="Whose configuration teaches; default: the best.")] = None,
    folds: Annotated[int | None, typer.Option(min=3, help="Folds; default: the study's.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: mlruns/teachers/STUDY.")] = None,
    data: Annotated[str | None, typer.Option(help="The study's recordings, where they lie elsewhere now.")] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Train teachers whose predictions may be targets: none of them saw the patients a fold is validated on."""
    from hms_search.cli.teach import teach_command
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    teach_command(study, out, places, trial=trial, folds=folds, data=data)


@models_app.command()
def reproduce(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    trial: Annotated[int, typer.Option(help="The trial's number.", show_default=False)],
    data: Annotated[str | None, typer.Option(help="The study's recordings, where they lie elsewhere now.")] = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run a trial again as recorded: equal, or differs by how much and what has changed (exit code 1)."""
    from hms_search.cli.reproduce import reproduce_command
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    raise typer.Exit(reproduce_command(study, trial, data, places))
