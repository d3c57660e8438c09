"""A model folder of other hands: no name on its card leads out of it, and nothing in it is unpickled."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_models import write_model

from hms_search.errors import CheckpointError
from hms_search.inference.model_folder import CARD, NETWORKS, open_model, read_card, write_manifest
from hms_search.inference.predictor import Predictor


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.mkdir, (self.target,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", name="model")


@pytest.mark.parametrize("name", ["../../evil", "/evil", "..", "", "a/b", "a\\b", "a\nb", "<b>"])
@pytest.mark.parametrize("place", ["name", "members", "file"])
def test_a_name_that_leads_elsewhere_is_refused(folder: Path, place: str, name: str) -> None:
    card = json.loads((folder / CARD).read_text())
    if place == "file":
        card["networks"][0]["file"] = f"{NETWORKS}/{name}"
    else:
        card[place] = name if place == "name" else [name]
    (folder / CARD).write_text(json.dumps(card))
    write_manifest(folder)
    if place == "file" and name == "a/b":  # deeper, but inside
        assert read_card(folder).networks[0].file == "networks/a/b"
        return
    with pytest.raises(CheckpointError, match=r"expected names of letters, digits"):
        open_model(folder)


@pytest.mark.parametrize("planted", [pickle.dumps, None])
def test_a_pickle_in_the_place_of_a_network_is_not_loaded(
    folder: Path, tmp_path: Path, planted: Callable[[object], bytes] | None
) -> None:
    for file in (folder / NETWORKS).iterdir():
        bomb = Bomb(tmp_path / "exploded")
        file.write_bytes(planted(bomb)) if planted is not None else torch.save(bomb, file)
    write_manifest(folder)
    with pytest.raises(CheckpointError):
        Predictor.open(folder, device="cpu")
    assert not (tmp_path / "exploded").exists()
