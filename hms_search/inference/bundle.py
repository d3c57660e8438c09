"""A Kaggle bundle: a model folder that also carries the code to predict with it, for a notebook without internet.

``model.json, networks/, members/ ...``   the model folder as it was; the bundle still is one
``code/hms_search/``                      the source files that predict, without optuna, mlflow and pydantic
``vendor/``                               einops, and a stand-in for jaxtyping, for where they are not installed
``predict.py``, ``README.md``             what to run, and how
``manifest.json``                         the SHA-256 of every file
"""

import shutil
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path

from hms_search.data.atomic import replacing_folder
from hms_search.data.labels import TaskName
from hms_search.errors import CheckpointError
from hms_search.inference.model_folder import MANIFEST, ModelFolder, open_model, write_manifest
from hms_search.inference.sources import BUNDLED, PACKAGE, source_files
from hms_search.models import Braindecode

CODE, VENDOR, PREDICT, README = "code", "vendor", "predict.py", "README.md"
_OWN = (CODE, VENDOR, PREDICT, README)
_SHOWN: Mapping[TaskName, tuple[str, ...]] = {
    "hms": ("kl_all", "kl_high", "kl_low"),
    "seizure_types": ("weighted_f1_by_file", "weighted_f1_by_patient"),
}


def export_bundle(model: ModelFolder, target: Path) -> None:
    """Write the bundle of a model to a new or empty folder; a bundle that is there is replaced once it is complete.

    Raises
    ------
    CheckpointError
        Where the folder holds anything else or cannot be written, or the code or a network would need a library that
        a bundle cannot rely on.
    """
    _check_networks(model)
    _check_target(model, target)
    sources = source_files()
    try:
        with replacing_folder(target) as partial:
            copy_model(model.path, partial)
            for name, origin in sources.items():
                _copy(origin, partial / CODE / PACKAGE / name)
            _vendor(partial / VENDOR)
            _copy(BUNDLED / PREDICT, partial / PREDICT)
            (partial / README).write_text(_readme(model), encoding="utf-8")
            write_manifest(partial)
            open_model(partial)
    except OSError as error:
        raise CheckpointError(f"cannot export to {target}: {error}; name another folder") from error


def copy_model(folder: Path, target: Path) -> None:
    """Copy a model folder, where it is a bundle without the code it carries; a read-only one becomes writable."""
    for file in folder.rglob("*"):
        inner = file.relative_to(folder)
        if file.is_file() and inner.parts[0] not in _OWN and "__pycache__" not in inner.parts:
            _copy(file, target / inner)
    write_manifest(target)


def is_bundle(path: Path) -> bool:
    """Return whether a folder is a bundle, by its names alone."""
    return all((path / name).exists() for name in (MANIFEST, *_OWN))


def _check_networks(model: ModelFolder) -> None:
    for member in model.members:
        _check_networks(member)
    if any(isinstance(network.model, Braindecode) for network in model.card.networks):
        raise CheckpointError(
            f"cannot export {model.path}: its networks need the package braindecode, which Kaggle's notebooks lack; "
            "choose another model, or an ensemble without it"
        )


def _check_target(model: ModelFolder, target: Path) -> None:
    ours, theirs = model.path.resolve(), target.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise CheckpointError(f"cannot export {model.path} to {target}: one lies in the other; name another folder")
    if target.exists() and not target.is_dir():
        raise CheckpointError(f"cannot export to {target}: expected a folder, found a file")
    if target.exists() and any(target.iterdir()) and not is_bundle(target):
        raise CheckpointError(
            f"cannot export to {target}: expected a new or empty folder or an earlier bundle, found other files; "
            "name another folder"
        )


def _vendor(folder: Path) -> None:
    """Copy einops, which is pure Python, without its layers but with its licence; an upload may lose empty files."""
    for file in distribution("einops").files or ():
        if file.parent.name == "einops" and file.suffix == ".py":
            _copy(Path(str(file.locate())), folder / file)
        elif file.name.startswith("LICENSE"):
            _copy(Path(str(file.locate())), folder / "einops" / file.name)
    _copy(BUNDLED / "jaxtyping.py", folder / "jaxtyping.py")


def _copy(origin: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, target)


def _readme(model: ModelFolder) -> str:
    card = model.card
    parts = [f"{len(card.members)} members" if card.members else f"{len(card.networks)} networks"]
    parts += [f"{name} {card.scores[name]:.5f}" for name in _SHOWN[card.task] if name in card.scores]
    text = (BUNDLED / (README if card.task == "hms" else "README-seizures.md")).read_text(encoding="utf-8")
    return text.replace("{name}", card.name).replace("{what}", ", ".join(parts))
