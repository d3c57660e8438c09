"""What stands in for pydantic in a bundle reads what the real components wrote, and gives equal values."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest

from hms_search.component import Component
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.eeg.normalise import Normalise, Robust
from hms_search.eeg.pipeline import ClipLog, InputPipeline, SpectrogramPipeline
from hms_search.ensemble.blends import Blend, LinearBlend, StackingBlend, WeightedBlend
from hms_search.inference.model_folder import ModelCard, NetworkFile
from hms_search.inference.sources import BUNDLED, PACKAGE, source_files
from hms_search.models import Model, TimmImage, WaveNet
from hms_search.models.pooling import Gem
from hms_search.models.wave_blocks import Starter

NEEDED: dict[type[Component], dict[str, Any]] = {
    WeightedBlend: {"weights": [0.25, 0.75], "space": "logits"},
    LinearBlend: {"weights": [0.5, -1.5], "bias": [0.0, 1.0, 2.0, 3.0, 4.0, -5.5]},
    StackingBlend: {"hidden": [7, 8, 9]},
}
WRONG = {
    '{"config": {"clip": 1}}': "unknown fields ['clip']",
    "{}": "missing fields ['config']",
    '{"config": 3}': "expected a mapping, found 3",
}
READ = """
import json, sys
from importlib import import_module

def read(module, name, content, update):
    component = getattr(import_module(module), name).model_validate(content)
    assert component == component.model_copy(update={}), component
    copy = component.model_copy(update=update)
    return [repr(component), component.to_dict(), repr(copy), fault(setattr, component, "name", "other")]

def fault(function, *arguments):
    try:
        function(*arguments)
    except ValueError as error:
        return str(error)

asked = json.load(sys.stdin)
for name in asked["modules"]:
    import_module(name)
pipeline = import_module("hms_search.eeg.pipeline").InputPipeline
answer = {
    "read": [read(*each) for each in asked["written"]],
    "faults": [fault(pipeline.model_validate, content) for content in asked["wrong"]],
    "foreign": [name for name in ("pydantic", "ruamel", "ruamel.yaml") if name in sys.modules],
}
json.dump(answer, sys.stdout)
"""


def members(union: Any) -> Iterator[type[Component]]:
    if isinstance(union, type):
        yield union
    for inner in get_args(union)[:1] if get_origin(union) is Annotated else get_args(union):
        yield from members(inner)


def components() -> Iterator[tuple[Component, dict[str, Any]]]:
    """Every component that a trained model is described by, and a field to change in a copy."""
    models: list[Component] = [member() for member in members(Model)]
    models.append(WaveNet(blocks=Starter(), image=None))
    models.append(TimmImage(dropout=0.25, pooling=Gem(p=4, trainable=False), stem_stride=(1, 2)))
    pipelines = []
    for normalise in members(Normalise):
        config = SpectrogramPipeline(normalise=normalise(), clip_log=ClipLog(low=-3), resize=(32, 48))
        pipelines.append(InputPipeline(config=config, mean=-1.25, std=1 / 3, count=10**12))
    pipelines.append(InputPipeline(config=SpectrogramPipeline(resize=None, gap_fill="mean", antialias=False)))
    for pipeline in pipelines:
        yield pipeline, {"mean": 2.5}
        yield pipeline.config, {"resize": None}
        yield pipeline.config.normalise, {}
        yield pipeline.config.clip_log, {"low": -4.5}
    for model in models:
        yield model, {"name": "timm"}
    networks = tuple(
        NetworkFile(file=f"networks/{number}", model=model, pipeline=pipeline, fold=number, seed=1)
        for number, pipeline in enumerate(pipelines)
        for model in models
    )
    seizures = FittedFftPipeline(config=FftPipeline(statistics=("mean", "std"), normalise=Robust()))
    yield NetworkFile(file="fft", model=models[0], pipeline=seizures, fold=0, seed=0), {"fold": 1}
    yield NetworkFile(file="eeg", model=models[0], pipeline=EegPipeline().fit([]), fold=0, seed=0), {"fold": 1}
    card = {"name": "card", "kind": "model", "prior": (0.5, 0.5), "scores": {"kl_all": 1e-300}, "origin": {"a": "b"}}
    yield ModelCard.model_validate({**card, "networks": networks}), {"name": "other"}
    for blend in members(Blend):
        fitted = blend.model_validate(NEEDED.get(blend, {}))
        yield fitted, {}
        if "blend" in ModelCard.model_fields:
            yield ModelCard.model_validate({**card, "members": ("a", "b"), "blend": fitted}), {"members": ()}


@pytest.fixture(scope="module")
def written() -> list[tuple[Component, dict[str, Any]]]:
    return list(components())


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, written: list[tuple[Component, dict[str, Any]]]) -> dict[str, Any]:
    """What a process with the code of a bundle makes of the components and of wrong content."""
    code = tmp_path_factory.mktemp("code")
    for name, origin in source_files().items():
        target = code / PACKAGE / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(origin.read_text())
    (code / "jaxtyping.py").write_text((BUNDLED / "jaxtyping.py").read_text())
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in source_files()]
    asked = {
        "modules": [PACKAGE if name == "__init__" else f"{PACKAGE}.{name}" for name in names],
        "written": [[type(one).__module__, type(one).__name__, one.to_dict(), update] for one, update in written],
        "wrong": [json.loads(content) for content in WRONG],
    }
    script = f"import sys; sys.path.insert(0, {str(code)!r})\n{READ}"
    done = subprocess.run([sys.executable, "-c", script], input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_component_of_a_model_is_read_as_it_was_written(
    answer: dict[str, Any], written: list[tuple[Component, dict[str, Any]]]
) -> None:
    for (component, update), (shown, content, copied, frozen) in zip(written, answer["read"], strict=True):
        assert shown == repr(component)
        assert content == component.to_dict()
        assert copied == repr(component.model_copy(update=update))
        assert "is frozen" in frozen


def test_what_no_component_wrote_is_a_value_error(answer: dict[str, Any]) -> None:
    for found, expected in zip(answer["faults"], WRONG.values(), strict=True):
        assert expected in found


def test_neither_pydantic_nor_ruamel_is_imported(answer: dict[str, Any]) -> None:
    assert answer["foreign"] == []
