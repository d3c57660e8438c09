"""``hms-search ensemble``: blend out-of-fold predictions, say what the blend is worth, and keep it."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file

from hms_search.cli.progress import StepProgress
from hms_search.cli.promote import print_gate, print_standing, use_of
from hms_search.compare import Difference
from hms_search.component import Component
from hms_search.data.atomic import replacing
from hms_search.data.oof import OOF_SUFFIXES, OutOfFold, read_oof, write_oof
from hms_search.data.oof_alignment import align
from hms_search.data.progress import Progress
from hms_search.document import Document, Path_
from hms_search.ensemble.cross_fit import CrossFit, cross_fit
from hms_search.ensemble.fit import Method, learns
from hms_search.ensemble.fit_weights import Mean
from hms_search.ensemble.scores import BlendScores, Score, scores_of
from hms_search.errors import ConfigError
from hms_search.promotion.ensemble import EnsembleRequest, ensemble_models
from hms_search.search.places import Places
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS

_STRATA: dict[Stratum, str] = {"all": "all", "high": "HIGH", "low": "LOW"}
_WEIGHTS_HELP = 'one number per member, such as "0.25,0.42,0.33"'


class MethodChoice(Component):
    """A method as the command line names it."""

    method: Method


def method_of(name: str, space: str | None, weights: Sequence[str]) -> Method:
    """Return the method that the options describe; raises ConfigError where they do not fit together."""
    written: dict[str, object] = {"name": name}
    places: dict[Path_, str] = {(): "--method", ("method", "space"): "--space", ("method", "weights"): "--weights"}
    if space is not None:
        written["space"] = space
    if name == "weighted" and not weights:
        raise ConfigError(f"--method weighted needs --weights, {_WEIGHTS_HELP}")
    if weights:
        written["weights"] = _numbers(weights)
    return MethodChoice.from_document(Document({"method": written}, places)).method


def name_and_files(name: str, oof: Sequence[Path], further: Sequence[Path]) -> tuple[str, list[Path]]:
    """Return the blend's name and all files, where ``--oof`` took one file only and the rest followed it.

    ``ensemble --oof a.csv b.csv`` has no name: its first free word is a file, and the blend is called blend.
    """
    if Path(name).suffix in OOF_SUFFIXES:
        return "blend", [*oof, Path(name), *further]
    return name, [*oof, *further]


def read_members(files: Sequence[Path], labels: Path | None) -> list[OutOfFold]:
    """Return the out-of-fold predictions in files, named by the files, by their whole paths where names collide."""
    members = [read_oof(file, labels=labels) for file in files]
    names = [member.name for member in members]
    if len(set(names)) == len(names):
        return members
    return [replace(member, name=str(file)) for file, member in zip(files, members, strict=True)]


def blend_members(
    members: Sequence[OutOfFold], method: Method, *, seed: int, name: str = "blend", fit_on: Stratum = "all"
) -> CrossFit:
    """Return the cross-fitted blend of members, which are aligned first; shows progress where it takes long."""
    aligned = align(members)
    if not learns(method):
        return cross_fit(method, aligned, seed=seed, name=name)
    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        return cross_fit(method, aligned, seed=seed, name=name, fit_on=fit_on, on_fit=_fitting(method, progress))


def ensemble_command(
    name: str,
    files: Sequence[Path],
    method: Method,
    *,
    labels: Path | None,
    seed: int,
    fit_on: Stratum,
    out: Path | None,
) -> None:
    """Blend files of out-of-fold predictions, print the scores and write the blend."""
    _check_name(name)
    if not files:
        raise ConfigError("nothing to blend: give --members MODEL..., or --oof FILE... of out-of-fold predictions")
    out = out or Places().root / "ensembles" / name / f"{name}.parquet"
    if out.suffix != ".parquet":
        raise ConfigError(f"-o expects a .parquet file, found {out}")
    fit = blend_members(read_members(files, labels), method, seed=seed, name=name, fit_on=fit_on)
    scores = scores_of(fit, seed=seed)
    console = Console(highlight=False, emoji=False)
    print_blend(fit, scores, console)
    written = write_blend(fit, scores, out, seed=seed)
    console.print(f"written: {', '.join(map(str, written))}", markup=False, soft_wrap=True)


def models_command(request: EnsembleRequest, places: Places) -> None:
    """Blend promoted models into an ensemble that predicts, print its scores and how it stands."""
    _check_name(request.name)
    if len(request.members) < 2:
        raise ConfigError(
            f"an ensemble needs at least two members, found {', '.join(request.members) or 'none'}; "
            "write: hms-search ensemble NAME --members MODEL MODEL ..."
        )
    console = Console(highlight=False, emoji=False)
    with StepProgress(Console(stderr=True, emoji=False)) as progress:
        found = ensemble_models(request, places, on_fit=_fitting(request.method, progress))
    print_blend(found.fit, scores_of(found.fit, seed=request.seed), console)
    print_gate(found.standing.gate, console)
    print_standing(request.name, found.standing, console)
    console.print(f"to use it: {use_of(found.model.card)}", markup=False, soft_wrap=True)


def print_blend(fit: CrossFit, scores: BlendScores, console: Console) -> None:
    """Print what was blended how, the scores of members, mean and blend, the weights, and what may be said."""
    space = getattr(fit.method, "space", "")
    how = fit.method.name + (f" in {space}" if space else "")
    console.print(
        f"{fit.oof.name}: {how} of {len(fit.members)} members; {len(fit.oof)} rows of "
        f"{len(set(fit.oof.patients.tolist()))} patients, {len(fit.fold_blends)} folds",
        markup=False,
        soft_wrap=True,
    )
    console.print(_scores_table(fit, scores))
    honest = "; each row was blended by a fit without its fold" if learns(fit.method) else ""
    console.print(f"{TASKS[fit.oof.task].measure} with its 95 % interval over patients{honest}", soft_wrap=True)
    if scores.weights:
        console.print(_weights_table(scores, spread=learns(fit.method)))
    if fit.method != Mean():
        for stratum, difference in scores.differences.items():
            console.print(f"blend against plain mean, {_STRATA[stratum]}: {_said(difference)}", soft_wrap=True)


def write_blend(fit: CrossFit, scores: BlendScores, out: Path, *, seed: int) -> list[Path]:
    """Write the blended out-of-fold predictions, and beside them the blend as JSON and a network's weights.

    Returns the files: ``OUT.parquet``, ``OUT.json`` and, for stacking, ``OUT.safetensors``.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write_oof(fit.oof, out)
    record = out.with_suffix(".json")
    content = {
        "name": fit.oof.name,
        "members": [member.name for member in fit.members],
        "method": fit.method.to_dict(),
        "seed": seed,
        "blend": fit.blend.config.to_dict(),
        "fold_blends": {str(fold): blend.config.to_dict() for fold, blend in fit.fold_blends.items()},
        **scores.to_dict(),
    }
    with replacing(record) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    if not fit.blend.tensors:
        return [out, record]
    network = out.with_suffix(".safetensors")
    with replacing(network) as partial:
        save_file(fit.blend.tensors, partial)
    return [out, record, network]


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ConfigError(f"expected a name of letters, digits and _ . -, found {name!r}")


def _fitting(method: Method, progress: StepProgress) -> Callable[[int, int], None] | None:
    """Return what shows how far a fit is, None for a method that has nothing to fit."""
    if not learns(method):
        return None
    return lambda done, total: progress(f"fitting {method.name}", Progress(done, total))


def _numbers(texts: Iterable[str]) -> list[float]:
    try:
        return [float(number) for text in texts for number in text.split(",")]
    except ValueError:
        raise ConfigError(f"--weights: expected {_WEIGHTS_HELP}; found {', '.join(map(repr, texts))}") from None


def _scores_table(fit: CrossFit, scores: BlendScores) -> Table:
    shown = [stratum for stratum in _STRATA if stratum in scores.blend]
    table, symbol = Table(), TASKS[fit.oof.task].symbol
    table.add_column("", no_wrap=True)
    for stratum in shown:
        table.add_column(f"{symbol} {_STRATA[stratum]} ({scores.blend[stratum].rows} rows)", justify="right")

    def add(name: str, of: Mapping[Stratum, Score], style: str = "") -> None:
        table.add_row(name, *(_score(of[stratum]) for stratum in shown), style=style)

    for name, of_member in scores.members.items():
        add(name, of_member)
    table.add_section()
    add("plain mean", scores.mean)
    if fit.method != Mean():
        add(fit.oof.name, scores.blend, "bold")
    return table


def _weights_table(scores: BlendScores, *, spread: bool) -> Table:
    table = Table()
    for name in ("", "weight", "fitted without a fold")[: 3 if spread else 2]:
        table.add_column(name, justify="right" if name else "left")
    for weight in scores.weights:
        of_folds = (f"{weight.lowest:.4f} to {weight.highest:.4f}",) if spread else ()
        table.add_row(weight.name, f"{weight.value:.4f}", *of_folds)
    return table


def _score(score: Score) -> str:
    return f"{score.value:.4f} [{score.low:.4f}, {score.high:.4f}]"


def _said(difference: Difference) -> str:
    interval = f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    return f"{interval}, {difference.verdict} (better in {difference.probability_better:.0%} of draws)"
