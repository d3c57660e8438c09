"""Ensembles of tiny networks: the blend of what their members predict alone."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import PRIOR, write_ensemble, write_model

from hms_search.ensemble.blends import FittedBlend, LinearBlend, MeanBlend, StackingBlend, WeightedBlend
from hms_search.errors import CheckpointError
from hms_search.inference.model_folder import BLEND, ModelCard, open_model, write_card, write_manifest
from hms_search.inference.predictor import Predictor

MEMBERS = ("first", "second", "third")
"""Two of them share a pipeline, and so an image."""


def stacking() -> FittedBlend:
    config = StackingBlend(hidden=(8,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FittedBlend(config, dict(config.build().state_dict()))


BLENDS = {
    "mean": FittedBlend(MeanBlend()),
    "logits": FittedBlend(MeanBlend(space="logits")),
    "weighted": FittedBlend(WeightedBlend(weights=(0.25, 0.42, 0.33))),
    "linear": FittedBlend(LinearBlend(weights=(0.9, -0.2, 0.4), bias=(0.1, 0, 0, -0.2, 0, 0.3))),
    "stacking": stacking(),
}


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("members")
    for number, name in enumerate(MEMBERS):
        changes = {"normalise": {"name": "robust" if name == "third" else "datawide"}}
        write_model(folder / name, name=name, networks=1 + number % 2, seed=number, **changes)
    return folder


def blended(folder: Path, members: Path, blend: FittedBlend) -> Path:
    shutil.copytree(members, folder / "members")
    return write_ensemble(folder, blend, members=MEMBERS)


def recordings() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(rng.uniform(-3, 3), 2, (rows, 400)).astype(np.float16) for rows in (300, 420, 300)]


@pytest.mark.parametrize("name", BLENDS)
@pytest.mark.parametrize("tta", ["none", "left_right"])
def test_an_ensemble_is_the_blend_of_what_its_members_predict_alone(
    members: Path, tmp_path: Path, name: str, tta: str
) -> None:
    blend, rows = BLENDS[name], recordings()
    alone = np.stack([Predictor.open(members / one).predict(rows, tta=tta).probabilities for one in MEMBERS])
    prediction = Predictor.open(blended(tmp_path / "ensemble", members, blend), device="cpu").predict(rows, tta=tta)
    np.testing.assert_allclose(prediction.members, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities, blend.apply(alone), rtol=0, atol=1e-6)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)


def test_an_ensemble_of_ensembles_blends_from_the_inside_out(members: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    inner = blended(outer / "members" / "inner", members, BLENDS["linear"])
    shutil.copytree(members / "first", outer / "members" / "first")
    write_ensemble(outer, FittedBlend(WeightedBlend(weights=(0.75, 0.25))), members=("inner", "first"))
    rows = recordings()
    parts = [Predictor.open(folder).predict(rows).probabilities for folder in (inner, members / "first")]
    together = Predictor.open(outer, device="cpu").predict(rows).probabilities
    np.testing.assert_allclose(together, 0.75 * parts[0] + 0.25 * parts[1], rtol=0, atol=1e-6)


def test_an_image_is_made_once_for_all_networks_of_one_pipeline(
    members: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "twins"
    for name in ("one", "two"):
        write_model(folder / "members" / name, name=name, networks=1, normalise={"name": "datawide"})
    write_ensemble(folder, BLENDS["mean"], members=("one", "two"))
    predictor = Predictor.open(folder, device="cpu")
    kind = type(next(predictor.pipelines))
    forward, made = kind.forward, []
    monkeypatch.setattr(kind, "forward", lambda self, log_power: made.append(1) or forward(self, log_power))
    predictor.predict(recordings()[:1])
    assert len(made) == 1


def test_an_ensemble_without_members_blend_or_its_weights_is_refused(members: Path, tmp_path: Path) -> None:
    shutil.copytree(members, tmp_path / "no-blend" / "members")
    card = ModelCard(name="x", kind="ensemble", prior=PRIOR, scores={}, origin={}, members=MEMBERS)
    write_card(tmp_path / "no-blend", card)
    with pytest.raises(CheckpointError, match="has no blend"):
        Predictor.open(tmp_path / "no-blend")
    (tmp_path / "no-members").mkdir()
    write_ensemble(tmp_path / "no-members", BLENDS["mean"], members=())
    with pytest.raises(CheckpointError, match="has no members"):
        Predictor.open(tmp_path / "no-members")
    folder = blended(tmp_path / "no-weights", members, BLENDS["stacking"])
    (folder / BLEND).unlink()
    with pytest.raises(CheckpointError, match=r"blend\.safetensors is missing"):
        Predictor.open(folder)
    write_manifest(folder)
    with pytest.raises(CheckpointError, match=r"weights .*blend\.safetensors of the stacking network cannot be read"):
        Predictor.open(folder)
    folder = blended(tmp_path / "no-member", members, BLENDS["mean"])
    shutil.rmtree(folder / "members" / "second")
    with pytest.raises(CheckpointError, match=r"members/second"):
        open_model(folder)
