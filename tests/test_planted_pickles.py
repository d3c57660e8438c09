"""A pickle planted where files are read is never loaded; recordings, checkpoints and models have tests of their own.

See also ``test_resumption.py``, ``data/test_store_damaged.py``, ``data/test_edf.py``, ``data/test_seizure_types.py``,
``web/test_hostile.py``, ``inference/test_model_names.py``.
"""

import ast
import pickle
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
import optuna
import pytest
import torch

from hms_search.component import Component
from hms_search.data.oof import read_oof
from hms_search.document import parse_yaml
from hms_search.errors import CheckpointError, DataError
from hms_search.models import packaged
from hms_search.models.weights import read_weights
from hms_search.search.racing import Racer
from hms_search.search.samplers import Sampler
from hms_search.search.space import SearchSpace

SOURCES = Path(__file__).parents[1] / "hms_search"
SPACE = """\
name: small
base: {model: {name: timm, backbone: resnet18}}
parameters:
  model.dropout: {type: float, low: 0.0, high: 0.5}
  training.batch_size: {type: int, low: 8, high: 32}
  pipeline.gap_fill: {type: categorical, choices: [floor, mean]}
"""
FORBIDDEN = {"eval", "exec", "os.system", "pickle.load", "pickle.loads", "pickle.Unpickler", "pd.read_pickle"}


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.mkdir, (self.target,)


def bare(bomb: Bomb) -> bytes:
    return pickle.dumps(bomb, protocol=2)


def by_torch(bomb: Bomb) -> bytes:
    content = BytesIO()
    torch.save({"weight": bomb}, content)
    return content.getvalue()


def by_numpy(bomb: Bomb) -> bytes:
    objects = np.empty(1, dtype=object)
    objects[0] = bomb
    content = BytesIO()
    np.savez(content, number=objects, value=objects, step0=objects)
    return content.getvalue()


@pytest.fixture(params=[bare, by_torch, by_numpy], ids=["bare", "torch", "numpy"])
def planted(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path]:
    """Writes a pickle to a file of that name; the test then finds that nothing of it was run."""

    def write(name: str) -> Path:
        file = tmp_path / name
        file.write_bytes(request.param(Bomb(tmp_path / "exploded")))
        return file

    return write


@pytest.fixture(autouse=True)
def nothing_explodes(tmp_path: Path) -> Iterator[None]:
    yield
    assert not (tmp_path / "exploded").exists()


def test_weights_of_ones_own(planted: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        read_weights(planted("weights.safetensors"))


def test_weights_of_a_package(planted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = planted("weights.pth")
    monkeypatch.setattr(packaged, "package_file", lambda _: file)
    with pytest.raises(CheckpointError, match="cannot read"):
        packaged.package_weights("tf_efficientnet_lite0", {})


def test_out_of_fold_predictions(planted: Callable[[str], Path]) -> None:
    with pytest.raises(DataError):
        read_oof(planted("oof.parquet"))


def test_the_best_trial_of_a_race(planted: Callable[[str], Path]) -> None:
    assert Racer.load(planted("best.npz")) is None


@pytest.mark.parametrize("sampler", get_args(get_args(Sampler)[0]))
def test_what_a_sampler_keeps_with_trials(sampler: type[Component], tmp_path: Path) -> None:
    """Who may write to the storage puts it in place of every text there, and where Optuna's CMA-ES keeps its own."""
    space = SearchSpace.from_document(parse_yaml(SPACE, source="small.yaml"))
    bomb = bare(Bomb(tmp_path / "exploded")).hex()
    study = optuna.create_study(sampler=sampler().build(space, seed=1))  # type: ignore[attr-defined]
    for _ in range(8):
        study.add_trial(planted_in(ended_trial(study, space), bomb))
    study.sampler = sampler().build(space, seed=1)  # type: ignore[attr-defined]
    for _ in range(2):
        ended_trial(study, space)


def ended_trial(study: optuna.Study, space: SearchSpace) -> optuna.trial.FrozenTrial:
    trial = study.ask()
    space.suggest(trial)
    return study.tell(trial, 0.5)


def planted_in(trial: optuna.trial.FrozenTrial, bomb: str) -> optuna.trial.FrozenTrial:
    texts = {name: bomb for name, kept in trial.system_attrs.items() if isinstance(kept, str)}
    trial.system_attrs = {**trial.system_attrs, **texts, "cma:optimizer:0": bomb}
    return trial


def test_whatever_could_read_a_pickle_or_run_a_text_is_told_not_to() -> None:
    loads = 0
    for path in SOURCES.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            name, options = ast.unparse(call.func), {ast.unparse(option) for option in call.keywords}
            assert name not in FORBIDDEN, f"{path}:{call.lineno}"
            assert "shell=True" not in options, f"{path}:{call.lineno}"
            if name in ("np.load", "torch.load"):
                loads += 1
                assert options & {"allow_pickle=False", "weights_only=True"}, f"{path}:{call.lineno}"
    assert loads > 5
