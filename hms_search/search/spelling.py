"""A space's experiments, spelt one way, for trials by the thousand: to validate the experiment of each takes too long.

Two choices may stand for one component, and the arithmetic of floats may put a number beside its step.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.distributions import FloatDistribution

from hms_search.errors import ConfigError
from hms_search.search.space import Categorical, Scalar, SearchSpace, on_grid, placed, replaced, value_at
from hms_search.search.study_attributes import CONFIG_KEY


class Spelling:
    """What the parameters of a space stand for, and the one way to write that."""

    def __init__(self, space: SearchSpace) -> None:
        self.parameters, self.base = space.parameters, space.base.to_dict()
        self._choices = {
            path: {name: _in_full(space, path, value) for name, value in parameter.named.items()}
            for path, parameter in space.parameters.items()
            if isinstance(parameter, Categorical)
        }
        self._first = {path: dict(_other_names(choices)) for path, choices in self._choices.items()}
        stepped = (path for path, one in space.distributions.items() if isinstance(one, FloatDistribution) and one.step)
        self._steps = {path: space.distributions[path] for path in stepped}

    def spelt(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters as they compare: numbers at their steps, choices by the first name of what they become."""
        named = {path: others.get(params[path], params[path]) for path, others in self._first.items() if path in params}
        return {**on_grid(params, self._steps), **named}

    def experiment(self, params: Mapping[str, Any]) -> Any:
        """Return the experiment that parameters of this space stand for, as plain JSON types."""
        content = self.base
        for path, value in params.items():
            inner = self._choices[path][value] if path in self._choices else value
            content = replaced(content, path.split("."), inner)
        return content

    def name_of(self, path: str, value: Any) -> Scalar:
        """Return what stands for a value, given in full, among the parameters.

        Raises LookupError where the parameter has no such value.
        """
        parameter = self.parameters[path]
        if isinstance(parameter, Categorical):
            for name, choice in self._choices[path].items():
                if choice == value:
                    return name
        elif parameter.contains(value):
            return placed(parameter.distribution, value)  # type: ignore[no-any-return]
        raise LookupError(f"{path} = {value!r}")

    def base_beside(self, paths: Iterable[str]) -> Any:
        """Return the base with nothing at these paths."""
        content = self.base
        for path in paths:
            with suppress(LookupError):
                value_at(content, path)
                content = replaced(content, path.split("."), None)
        return content

    def varies(self, path: str) -> bool:
        """Say whether trials of this space may differ in what lies at a path, in a part of it or around it."""
        return any(f"{path}.".startswith(f"{one}.") or one.startswith(f"{path}.") for one in self.parameters)


def spelling_of(storage: optuna.storages.BaseStorage, study: str) -> Spelling | None:
    """Return the spelling of a study's space; None where there is no study of that name made by hms-search."""
    try:
        kept = storage.get_study_user_attrs(storage.get_study_id_from_name(study))
    except KeyError:
        return None
    return Spelling(SearchSpace.model_validate(kept[CONFIG_KEY]["space"])) if CONFIG_KEY in kept else None


def _in_full(space: SearchSpace, path: str, value: Any) -> Any:
    with suppress(ConfigError):  # it does not fit into the base, but perhaps beside another choice
        return space.in_full(path, value)
    return value


def _other_names(choices: Mapping[Scalar, Any]) -> Mapping[Scalar, Scalar]:
    """Return the first name of what each further name stands for, too."""
    first: list[Scalar] = []
    found: dict[Scalar, Scalar] = {}
    for name, choice in choices.items():
        same = next((one for one in first if choices[one] == choice), None)
        if same is None:
            first.append(name)
        else:
            found[name] = same
    return found
