"""How a study's file differs from the study of that name in the storage, and which of its trials could be kept."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from optuna.trial import FrozenTrial

from hms_search.search.carrying import CARRIED_STATES, Moved, fits
from hms_search.search.data_config import SYNTHETIC
from hms_search.search.space import Categorical, Parameter, SearchSpace, on_grid
from hms_search.search.study import StudyConfig

_SHARED = ("task", "folds", "objective", "aims", "constraints", "seed")
"""What must be the same for trials to compare, besides the space and the samples."""


@dataclass(frozen=True)
class Difference:
    """What a study's file changes of the stored study.

    ``migratable``: trials can be added anew under the new space, ``fitting`` of ``trials`` lie in it. ``incompatible``:
    the trials were run on something else, or in another experiment.
    """

    kind: Literal["new", "same", "migratable", "incompatible"]
    lines: tuple[str, ...] = ()
    trials: int = 0
    fitting: int = 0


class Stored(Protocol):
    """What is compared of a stored study: a :class:`hms_search.search.history.StudyHistory`, for one."""

    @property
    def config(self) -> StudyConfig:
        """Its configuration."""

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """All its trials."""


def difference(stored: Stored | None, config: StudyConfig) -> Difference:
    """Return how a study's file differs from the stored study, None where there is none of its name."""
    if stored is None:
        return Difference("new")
    old, new = stored.config.space, config.space
    breaking = (*_changed_settings(stored.config, config), *_changed_base(old, new), *_changed_choices(old, new))
    lines = (*breaking, *_changed_parameters(old, new))
    comparable = not breaking and all(one.has_path(path) for one in (old, new) for path in _searched(old, new))
    finished = [trial for trial in stored.trials if trial.state.is_finished()]
    known = [trial for trial in finished if trial.state in CARRIED_STATES]
    fitting = sum(fits(params, new) for params in map(moved(old, new), known)) if comparable else 0
    kind: Literal["same", "migratable", "incompatible"] = "migratable" if comparable else "incompatible"
    return Difference(kind if lines else "same", lines, len(finished), fitting)


def moved(old: SearchSpace, new: SearchSpace) -> Moved:
    """Return what gives a trial's parameters in the new space, and none where its experiment is none of it.

    A parameter that is new had the old base's value; one that is gone must have had the value that is fixed now.
    """
    before, after = old.parameters.keys(), new.parameters.keys()
    try:
        gone = {path: old.name_of(path, new.base_value(path)) for path in before - after}
        added = {path: new.name_of(path, old.base_value(path)) for path in after - before}
    except LookupError:
        return lambda _: {}

    def params_of(trial: FrozenTrial) -> dict[str, Any]:
        params = on_grid(trial.params, trial.distributions)
        return {**params, **added} if gone.items() <= params.items() else {}

    return params_of


def _changed_settings(old: StudyConfig, new: StudyConfig) -> Iterator[str]:
    before, after = ({**one.to_dict(), "folds": with_use(one.folds.to_dict())} for one in (old, new))
    for key in _SHARED:
        yield from _line(key, before[key], after[key])
    yield from _line("schedule", old.schedule.order, new.schedule.order)
    synthetic = SYNTHETIC in (old.data.root, new.data.root)
    for key in ("sampling", "baked", *(("root", "synthetic") if synthetic else ())):  # a folder may have been moved
        yield from _line(f"data.{key}", before["data"][key], after["data"][key])


def with_use(folds: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's folds with those in use named, also where it says nothing of them."""
    return {**folds, "use": list(folds["use"] or range(folds["n_folds"]))}


def _changed_base(old: SearchSpace, new: SearchSpace) -> Iterator[str]:
    """Yield what differs in the base beside the paths that one of the two searches."""
    before, after = _leaves(old.base.to_dict()), _leaves(new.base.to_dict())
    for path in sorted(before.keys() | after.keys()):
        if not any(path == one or path.startswith(f"{one}.") for one in _searched(old, new)):
            yield from _line(f"base.{path}", before.get(path), after.get(path))


def _changed_choices(old: SearchSpace, new: SearchSpace) -> Iterator[str]:
    """Yield choices whose name stands for something else now."""
    for path, parameter in old.parameters.items():
        other = new.parameters.get(path)
        if isinstance(parameter, Categorical) and isinstance(other, Categorical):
            for name in parameter.named.keys() & other.named.keys():
                yield from _line(f"parameters.{path}.choices.{name}", parameter.named[name], other.named[name])


def _changed_parameters(old: SearchSpace, new: SearchSpace) -> Iterator[str]:
    """Yield what differs in what is searched, and in the base where both search: another trial 0."""
    for path in _searched(old, new):
        yield from _line(f"parameters.{path}", _words(old, path), _words(new, path))
        if path in old.parameters and path in new.parameters:
            yield from _line(f"base.{path}", old.base_value(path), new.base_value(path))


def _searched(old: SearchSpace, new: SearchSpace) -> Iterable[str]:
    """Return the paths that at least one of the two searches."""
    return dict.fromkeys((*old.parameters, *new.parameters))


def _words(space: SearchSpace, path: str) -> Any:
    """Return a parameter as it is compared and shown; where it is not searched, the base's value, if any."""
    parameter: Parameter | None = space.parameters.get(path)
    if parameter is None and not space.has_path(path):
        return "not there"
    if parameter is None:
        return f"fixed at {json.dumps(space.base_value(path))}"
    if isinstance(parameter, Categorical):
        return list(parameter.named)
    return parameter.model_dump(mode="json", exclude_defaults=True)


def _line(path: str, before: Any, after: Any) -> Iterator[str]:
    if before != after:
        yield f"{path}: {_text(before)} -> {_text(after)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict | list) or not content:
        return {prefix.removesuffix("."): content}
    items = enumerate(content) if isinstance(content, list) else content.items()
    return {path: leaf for key, inner in items for path, leaf in _leaves(inner, f"{prefix}{key}.").items()}
