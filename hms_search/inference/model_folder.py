"""A trained model on disk: one folder that holds all it needs, and a list of its files with their checksums.

``model.json``        the card: what the model is, where it comes from, how well it did
``networks/``         weights of the networks of one configuration, one .safetensors file per seed and fold
``members/<name>/``   of an ensemble: whole model folders, blended by the card's ``blend``
``blend.safetensors`` of an ensemble with a stacking network: its weights
``oof.parquet``       out-of-fold predictions
``manifest.json``     the SHA-256 of every file above
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hms_search.component import Component
from hms_search.data.atomic import replacing
from hms_search.data.labels import CLASSES_OF, TaskName
from hms_search.eeg.pipeline import PIPELINE_VERSION
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.ensemble.blends import Blend, FittedBlend, StackingBlend
from hms_search.errors import CheckpointError
from hms_search.models import Model

FORMAT = 1
"""Raised whenever the files of a model folder change meaning."""
CARD, MANIFEST, OOF, MEMBERS, NETWORKS = "model.json", "manifest.json", "oof.parquet", "members", "networks"
BLEND = "blend.safetensors"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


Heads = Literal["none", "left_right", "flips"]
"""Over which heads predictions are averaged: the one that was recorded; also its mirror image; or four: as it is, left
and right exchanged, front and back exchanged (a spectrogram stays as it is), and both (15th place)."""


class NetworkFile(Component):
    """One trained network: its weights' file, what to build before they are loaded, and the fitted input pipeline."""

    file: str
    model: Model
    pipeline: FittedPipeline
    fold: int
    seed: int


class ModelCard(Component):
    """What a model folder holds.

    Attributes
    ----------
    kind
        ``model``: the networks of one configuration, whose probabilities are averaged. ``ensemble``: ``members``,
        whose probabilities ``blend`` makes one.
    task
        What it was trained for, and so which classes it tells apart.
    prior
        Mean target of the training rows, in the class order: what is predicted for a recording nobody can read.
    scores
        The task's out-of-fold metrics by name, with their interval; see :mod:`hms_search.training.tasks`.
    tta
        The test-time augmentation it was made to be used with; its scores are without.
    origin
        Where the model comes from: study, trial, run, fingerprints, seeds, versions, commit.
    """

    name: str
    kind: Literal["model", "ensemble"]
    task: TaskName = "hms"
    prior: tuple[float, ...]
    scores: dict[str, float]
    origin: dict[str, str]
    networks: tuple[NetworkFile, ...] = ()
    members: tuple[str, ...] = ()
    blend: Blend | None = None
    tta: Heads = "none"
    format: int = FORMAT
    pipeline_version: int = PIPELINE_VERSION

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of its task, in the order of its probabilities."""
        return CLASSES_OF[self.task]


@dataclass(frozen=True)
class ModelFolder:
    """An opened, verified model folder; ``members`` are those of an ensemble."""

    path: Path
    card: ModelCard
    members: tuple["ModelFolder", ...] = ()

    @property
    def oof(self) -> Path:
        """The file of the out-of-fold predictions."""
        return self.path / OOF


def open_model(path: Path) -> ModelFolder:
    """Return the model in a folder, every file checked against its checksum.

    Raises CheckpointError where the folder is none of ours, of another version, or a file is missing or was changed.
    """
    card = read_card(path)
    _check_files(path)
    members = tuple(open_model(path / MEMBERS / name) for name in card.members)
    if card.kind == "ensemble" and (not members or card.blend is None):
        lacks = "blend" if members else "members"
        raise CheckpointError(f"{path}: an ensemble needs members and a blend, its card has no {lacks}; blend it again")
    return ModelFolder(path, card, members)


def read_card(path: Path) -> ModelCard:
    """Return the card of a model folder, no file checked; raises CheckpointError as :func:`open_model`."""
    content = _read_json(path / CARD, path)
    _check_versions(path, content)
    try:
        card = ModelCard.model_validate(content)
    except ValueError as error:
        raise CheckpointError(f"{path / CARD} is damaged: {' '.join(str(error).split())}") from None
    _check_names(path, card)
    return card


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card and then the manifest, with which the folder is complete."""
    with replacing(folder / CARD) as partial:
        partial.write_text(json.dumps(card.to_dict(), indent=1), encoding="utf-8")
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """List every file of a folder with its SHA-256."""
    listed = {str(file.relative_to(folder)): _sha256(file) for file in sorted(_files(folder))}
    with replacing(folder / MANIFEST) as partial:
        partial.write_text(json.dumps({"sha256": listed}, indent=1), encoding="utf-8")


def is_model(path: Path) -> bool:
    """Return whether a folder is a complete model folder, by its names alone."""
    return (path / CARD).is_file() and (path / MANIFEST).is_file()


def load_network(folder: Path, network: NetworkFile, *, classes: int) -> nn.Module:
    """Return a trained network of so many classes in evaluation mode, on the CPU.

    Raises CheckpointError where its weights cannot be read or do not fit.
    """
    file = folder / network.file
    with torch.random.fork_rng(devices=[]):
        module = network.model.build(network.pipeline.config.shape, classes=classes)
    try:
        module.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"weights {file} cannot be loaded into {network.model.name}: {reason}") from None
    return module.eval()


def save_blend(folder: Path, blend: FittedBlend) -> None:
    """Write what of a blend is no configuration; nothing but for a stacking network."""
    if blend.tensors:
        with replacing(folder / BLEND) as partial:
            save_file({name: value.contiguous() for name, value in blend.tensors.items()}, partial)


def load_blend(folder: Path, blend: Blend) -> FittedBlend:
    """Return an ensemble's blend, ready to be applied; raises CheckpointError where its weights cannot be read."""
    file = folder / BLEND
    if not isinstance(blend, StackingBlend):
        return FittedBlend(blend)
    try:
        return FittedBlend(blend, load_file(file))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"weights {file} of the stacking network cannot be read: {error}") from None


def _read_json(file: Path, folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"no model in {folder}: expected a folder with {file.name}, as promote, ensemble and export write it"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}; copy the model again") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} is damaged: expected a mapping; copy the model again")
    return content


def _check_versions(path: Path, content: Mapping[str, Any]) -> None:
    made_by = content.get("origin", {}).get("version_hms_search", "an unknown version")
    for key, known in (("format", FORMAT), ("pipeline_version", PIPELINE_VERSION)):
        if content.get(key) != known:
            what = "input pipeline version" if key == "pipeline_version" else "model format"
            raise CheckpointError(
                f"{path}: the model has {what} {content.get(key)}, this hms-search has {known} and would feed its "
                f"networks another input; use the hms-search that made it ({made_by}), or promote the trial again"
            )


def _check_names(path: Path, card: ModelCard) -> None:
    """Raise CheckpointError where a name on the card would lead out of the folder that it is a part of."""
    files = [part for network in card.networks for part in network.file.split("/")]
    for name in (card.name, *card.members, *files):
        if not _PLAIN_NAME.fullmatch(name):
            raise CheckpointError(f"{path / CARD}: expected names of letters, digits, '.', '_' and '-', found {name!r}")


def _check_files(path: Path) -> None:
    listed = _read_json(path / MANIFEST, path).get("sha256", {})
    for name in (CARD, *listed):
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{path}: the file {name} is missing; copy the model again")
        if listed.get(name) != _sha256(file):
            raise CheckpointError(f"{path}: the file {name} was changed since the model was written; copy it again")


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files a manifest lists: the folder's own, and the manifests of its members, which list theirs."""
    for file in folder.rglob("*"):
        inner = file.relative_to(folder).parts
        of_a_member = inner[0] == MEMBERS and inner[2:] != (MANIFEST,)
        if file.is_file() and inner != (MANIFEST,) and not of_a_member:
            yield file


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
