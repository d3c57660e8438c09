"""Settings that make a shipped study small enough for a test, and change nothing of how it is built."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hms_search.promotion.system_file import System
from hms_search.search.study import study_document

_BACKBONE = "test_efficientnet"
_RESIZED = (32, 48)
_BATCH = 8


def shrunk(study: Path, *settings: str) -> list[str]:
    """Return ``path=value`` settings: the smallest backbones, small images, two folds, an epoch of each stage."""
    space = study_document(study, settings).content["space"]
    base = space["base"]
    changes = dict(_changes(base, "space.base"))
    if "model.backbone" in space["parameters"]:
        changes["space.parameters.model.backbone.choices"] = [_BACKBONE, "test_resnet"]
    stages = base["training"].get("stages", [])
    if stages:
        changes["space.base.training.stages"] = [{**stages[0], "epochs": 1}, *stages[1:]]
    changes["space.base.training.epochs"] = max(1, len(stages))
    if "training.batch_size" not in space["parameters"]:
        changes["space.base.training.batch_size"] = _BATCH
    changes["device"] = "cpu"
    changes["folds.n_folds"] = 2
    return [f"{path}={json.dumps(value)}" for path, value in changes.items()]


def shrunk_system(system: System, path: Path) -> list[str]:
    """Return the settings that make every member small; they are the first member's."""
    first = next(iter(system.members.values()))
    return shrunk(path.parent / first.study)


def _changes(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        return
    name = node.get("name")
    if name == "timm":
        yield f"{path}.backbone", _BACKBONE
        yield f"{path}.weights", "none"
    if name == "waveform":
        yield f"{path}.every", 20
    if name == "improved":
        yield f"{path}.layers", 2
        yield f"{path}.channels", 8
    if node.get("resize") or "planes" in node:
        yield f"{path}.resize", list(_RESIZED)
    if node.get("source") == "both" and node["join"] != "apart":
        yield f"{path}.resize", list(_RESIZED)  # of the joined image: its halves must keep their sizes
        return
    for key, value in node.items():
        yield from _changes(value, f"{path}.{key}")
