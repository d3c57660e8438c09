"""Every member of every union keeps the promises of a component."""

from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from hms_search.augment import Augmentation
from hms_search.component import Component
from hms_search.data.folds import Folds
from hms_search.data.sampling import Sampling
from hms_search.document import dump_yaml, parse_yaml
from hms_search.eeg.layout import Layout
from hms_search.eeg.normalise import Normalise
from hms_search.eeg.spectrogram import Representation
from hms_search.ensemble.blends import Blend
from hms_search.ensemble.fit import Method
from hms_search.models import Model
from hms_search.search.executors import Executor
from hms_search.search.pruners import Pruner
from hms_search.search.samplers import Sampler
from hms_search.search.schedules import Schedule
from hms_search.training.optim import Optimiser
from hms_search.training.schedulers import Scheduler
from hms_search.training.weights import RowWeights

UNIONS: dict[str, Any] = {
    "augmentation": Augmentation,
    "normalise": Normalise,
    "representation": Representation,
    "layout": Layout,
    "model": Model,
    "optimiser": Optimiser,
    "scheduler": Scheduler,
    "row weights": RowWeights,
    "sampling": Sampling,
    "folds": Folds,
    "sampler": Sampler,
    "pruner": Pruner,
    "schedule": Schedule,
    "executor": Executor,
    "blend": Blend,
    "method": Method,
}
REQUIRED: dict[str, dict[str, Any]] = {
    "Threshold": {"upper": 0.57},
    "WeightedBlend": {"weights": (0.25, 0.75)},
    "LinearBlend": {"weights": (0.6, -0.1), "bias": (0.5, -0.5, 0.0, 0.0, 0.0, 0.0)},
    "Weighted": {"weights": (0.25, 0.42, 0.33)},
}
"""What a member cannot do without."""


def members(union: Any) -> list[type[Component]]:
    if isinstance(union, type):
        return [union]
    inner = get_args(union)[:1] if get_origin(union) is Annotated else get_args(union)
    return [member for part in inner for member in members(part)]


MEMBERS = [
    pytest.param(member, union, id=f"{name}-{member.__name__}")
    for name, union in UNIONS.items()
    for member in members(union)
]


def name_of(member: type[Component]) -> str:
    return str(member.model_fields["name"].default)


def default(member: type[Component]) -> Component:
    return member.model_validate(REQUIRED.get(member.__name__, {}))


@pytest.mark.parametrize(("member", "union"), MEMBERS)
def test_a_member_survives_the_way_through_yaml(member: type[Component], union: Any) -> None:
    component = default(member)
    content = parse_yaml(dump_yaml(component.to_dict()), source="test").content
    restored = TypeAdapter(union).validate_python(content)
    assert restored == component
    assert type(restored) is member
    assert restored.fingerprint() == component.fingerprint()
    assert hash(restored) == hash(component)


@pytest.mark.parametrize(("member", "union"), MEMBERS)
def test_a_member_is_frozen_and_refuses_what_it_does_not_know(member: type[Component], union: Any) -> None:
    component = default(member)
    with pytest.raises(ValidationError, match="frozen"):
        component.name = "another"  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="Extra inputs"):
        TypeAdapter(union).validate_python({**component.to_dict(), "misspelt": 1})


@pytest.mark.parametrize(("member", "union"), MEMBERS)
def test_a_member_says_what_it_is(member: type[Component], union: Any) -> None:
    assert member.__doc__
    assert member.__doc__ != Component.__doc__


@pytest.mark.parametrize("name", UNIONS)
def test_the_names_of_a_union_are_different_and_told_apart_by_it(name: str) -> None:
    names = [name_of(member) for member in members(UNIONS[name])]
    assert len(set(names)) == len(names)
    with pytest.raises(ValidationError):
        TypeAdapter(UNIONS[name]).validate_python({"name": "no such thing"})
