"""SearchSpace: a complete, valid experiment (``base``) plus the paths in it that vary, in Optuna's words."""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Annotated, Any, Literal, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial
from pydantic import Field, ValidationError, model_validator

from hms_search.component import Component, faults, suggestion
from hms_search.document import Document
from hms_search.errors import ConfigError
from hms_search.experiment import ExperimentConfig

Scalar = bool | int | float | str | None
_ROUNDING = 1e-6
"""What the arithmetic of floats may be off by, relative to a step."""


class Float(Component):
    """A real number in ``[low, high]``, uniform or log-uniform, or in steps."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self)
        return self

    @property
    def distribution(self) -> FloatDistribution:
        """The parameter in Optuna's words."""
        return FloatDistribution(self.low, self.last, log=self.log, step=self.step)

    @property
    def last(self) -> float:
        """The largest value: the high bound, or the last step up to it."""
        if self.step is None:
            return self.high
        return at_step(self, int((Decimal(str(self.high)) - Decimal(str(self.low))) // Decimal(str(self.step))))

    def suggest(self, trial: BaseTrial, path: str) -> float:
        """Return the trial's value of this parameter."""
        return trial.suggest_float(path, self.low, self.last, log=self.log, step=self.step)

    def contains(self, value: object) -> bool:
        """Say whether ``value`` lies in the range, at one of its steps."""
        return isinstance(value, int | float) and _has(self, value)


class Int(Component):
    """A whole number in ``[low, high]``, uniform or log-uniform, or in steps."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_range(self)
        return self

    @property
    def distribution(self) -> IntDistribution:
        """The parameter in Optuna's words."""
        return IntDistribution(self.low, self.last, log=self.log, step=self.step)

    @property
    def last(self) -> int:
        """The largest value: the high bound, or the last step up to it."""
        return self.high - (self.high - self.low) % self.step

    def suggest(self, trial: BaseTrial, path: str) -> int:
        """Return the trial's value of this parameter."""
        return trial.suggest_int(path, self.low, self.last, log=self.log, step=self.step)

    def contains(self, value: object) -> bool:
        """Say whether ``value`` lies in the range, at one of its steps; 10.0 is a whole number, too."""
        return isinstance(value, int | float) and float(value).is_integer() and _has(self, value)


class Categorical(Component):
    """One of several values: a list of scalars, or a mapping from a name to any value (a whole component too)."""

    type: Literal["categorical"]
    choices: Annotated[dict[str, Any], Field(min_length=1)] | Annotated[list[Scalar], Field(min_length=1)]

    @property
    def named(self) -> dict[Scalar, Any]:
        """The value behind each choice; what Optuna sees and stores is the key."""
        named: dict[Scalar, Any] = {}
        named.update(self.choices if isinstance(self.choices, dict) else {value: value for value in self.choices})
        return named

    @property
    def distribution(self) -> CategoricalDistribution:
        """The parameter in Optuna's words."""
        return CategoricalDistribution(list(self.named))

    def suggest(self, trial: BaseTrial, path: str) -> Any:
        """Return the trial's value of this parameter."""
        return self.named[trial.suggest_categorical(path, list(self.named))]


Parameter = Annotated[Float | Int | Categorical, Field(discriminator="type")]


_FIXED = {
    "training.epochs": "trials are compared and pruned epoch by epoch; write another study for other epochs",
    "training": "trials are compared and pruned epoch by epoch; search the paths in it, but not its epochs",
    "pipeline": "all trials read recordings of one source; search the paths in it",
    "pipeline.source": "all trials read recordings of one source; write another study for the other",
}
"""What is the same for all trials of a study, and why."""


@dataclass(frozen=True)
class _Edge:
    """One extreme of a parameter: a bound or a choice, and where it was written."""

    path: str
    value: Any
    label: str
    written: tuple[str | int, ...]


class SearchSpace(Component):
    """What a study searches: ``base``, a complete experiment, and ``parameters``, dotted paths into it.

    The entries of a list go by their place: ``training.optimiser.betas.0``, ``pipeline.filters.1.high_hz``.

    Loading one with :meth:`from_document` puts every bound and every choice, alone and in pairs, into the base and
    validates the result, so that no trial can fail for a misspelt path or a bound outside a field's range.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    base: ExperimentConfig
    parameters: dict[str, Parameter] = Field(min_length=1)

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """Return the validated space; raises ConfigError listing every fault with file and line."""
        space = super().from_document(document)
        found = space.faults(document)
        if found:
            raise ConfigError("\n".join(found))
        return space

    def suggest(self, trial: BaseTrial) -> ExperimentConfig:
        """Return the experiment of a trial; raises ConfigError where the suggested values do not fit together."""
        return self.config({path: parameter.suggest(trial, path) for path, parameter in self.parameters.items()})

    def config(self, values: Mapping[str, Any]) -> ExperimentConfig:
        """Return the base experiment with the values at the dotted paths replaced."""
        content = self.base.to_dict()
        for path, value in values.items():
            content = replaced(content, path.split("."), value)
        return ExperimentConfig.from_document(Document(content, {(): f"search space {self.name}"}))

    def baseline(self) -> dict[str, Scalar]:
        """Return the parameters, as Optuna stores them, of the base experiment itself."""
        return {path: self._name_of_base(path) for path in self.parameters}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The parameters in Optuna's words."""
        return {path: parameter.distribution for path, parameter in self.parameters.items()}

    def name_of(self, path: str, value: Any) -> Scalar:
        """Return what stands for a value in a trial's parameters: a number, or the name of the choice that it is.

        A choice is known by what it becomes in the base, with the defaults filled in. Raises LookupError where the
        parameter has no such value.
        """
        parameter = self.parameters[path]
        if isinstance(parameter, Categorical):
            with suppress(ConfigError):  # the value does not fit into this base
                wanted = self.in_full(path, value)
                for name, choice in parameter.named.items():
                    if self.in_full(path, choice) == wanted:
                        return name
        elif parameter.contains(value):
            return placed(parameter.distribution, value)  # type: ignore[no-any-return]
        raise LookupError(f"{path} = {value!r}")

    def in_full(self, path: str, value: Any) -> Any:
        """Return what a value becomes at a dotted path of the base, its defaults filled in, as plain JSON types.

        Raises ConfigError where it does not fit into the base.
        """
        return value_at(self.config({path: value}).to_dict(), path)

    def has_path(self, path: str) -> bool:
        """Say whether the base has anything at a dotted path."""
        return path in _paths_in(self.base.to_dict())

    def base_value(self, path: str) -> Any:
        """Return what the base has at a dotted path, as plain JSON types."""
        return value_at(self.base.to_dict(), path)

    def faults(self, document: Document) -> list[str]:
        """Return every fault of the parameters against the base, one line each with its place in ``document``."""
        wrong_paths = [*self._unknown_paths(document), *self._nested_paths(document), *self._fixed_paths(document)]
        if wrong_paths:
            return wrong_paths
        found = [fault for edge in self._edges() for fault in self._faults_of((edge,), document)]
        if found:
            return found
        pairs = combinations(self._edges(), 2)
        found = [fault for pair in pairs if pair[0].path != pair[1].path for fault in self._faults_of(pair, document)]
        return list(dict.fromkeys(found)) or self._base_outside(document)

    def _name_of_base(self, path: str) -> Scalar:
        value = self.base_value(path)
        with suppress(LookupError):
            return self.name_of(path, value)
        raise ConfigError(
            f"the base has {path} = {json.dumps(value)}, {_misfit(self.parameters[path], value)} or change the base: "
            "it is trial 0, the study's own comparison"
        )

    def _edges(self) -> Iterator[_Edge]:
        for path, parameter in self.parameters.items():
            if isinstance(parameter, Categorical):
                for position, (name, value) in enumerate(parameter.named.items()):
                    key = name if isinstance(parameter.choices, dict) else position
                    yield _Edge(path, value, f"choice {name!r}", ("parameters", path, "choices", key))  # type: ignore[arg-type]
            else:
                yield _Edge(path, parameter.low, "low", ("parameters", path, "low"))
                yield _Edge(path, parameter.high, "high", ("parameters", path, "high"))

    def _faults_of(self, edges: tuple[_Edge, ...], document: Document) -> list[str]:
        content = self.base.to_dict()
        for edge in edges:
            content = replaced(content, edge.path.split("."), edge.value)
        try:
            ExperimentConfig.model_validate_json(json.dumps(content), strict=True)
        except ValidationError as error:
            where = document.place(edges[-1].written)
            names = " with ".join(f"parameters.{edge.path} {edge.label}" for edge in edges)
            plain = Document(content, {(): "base"})
            return [
                f"{where}: {names}: {line.removeprefix('base: ')}" for line in faults(ExperimentConfig, error, plain)
            ]
        return []

    def _unknown_paths(self, document: Document) -> Iterator[str]:
        known = sorted(_paths_in(self.base.to_dict()))
        for path in self.parameters:
            if path not in known:
                where = document.place(("parameters", path))
                yield f"{where}: parameters.{path}: no such path in base; {_nearest_path(path, known)}"

    def _fixed_paths(self, document: Document) -> Iterator[str]:
        for path in self.parameters:
            reason = _FIXED.get(path)
            if reason is not None:
                yield f"{document.place(('parameters', path))}: parameters.{path}: cannot be searched: {reason}"

    def _nested_paths(self, document: Document) -> Iterator[str]:
        for outer in self.parameters:
            for inner in self.parameters:
                if inner.startswith(f"{outer}."):
                    yield (
                        f"{document.place(('parameters', inner))}: parameters.{inner} lies inside parameters.{outer}, "
                        "which is searched as a whole; search one of the two"
                    )

    def _base_outside(self, document: Document) -> list[str]:
        found = []
        for path in self.parameters:
            try:
                self._name_of_base(path)
            except ConfigError as error:
                found.append(f"{document.place(('parameters', path))}: parameters.{path}: {error}")
        return found


def _check_range(parameter: Float | Int) -> None:
    if parameter.low > parameter.high:
        raise ValueError(f"low {parameter.low} is above high {parameter.high}; swap them")
    if parameter.log and parameter.low <= 0:
        raise ValueError(f"log: true needs low above 0, found {parameter.low}")
    if parameter.log and parameter.step not in ((None, 1) if isinstance(parameter, Int) else (None,)):
        raise ValueError("log and step exclude each other; drop one")


def value_at(content: Any, path: str) -> Any:
    """Return what plain JSON types have at a dotted path; raises LookupError where they have nothing."""
    for key in path.split("."):
        inner = {str(place): one for place, one in enumerate(content)} if isinstance(content, list) else content
        if not isinstance(inner, dict) or key not in inner:
            raise LookupError(path)
        content = inner[key]
    return content


def replaced(content: Any, keys: list[str], value: Any) -> Any:
    """Return content with the value at a path replaced; a list's entries go by their place."""
    if isinstance(content, list):
        place = int(keys[0])
        inner = value if len(keys) == 1 else replaced(content[place], keys[1:], value)
        return [*content[:place], inner, *content[place + 1 :]]
    inner = value if len(keys) == 1 else replaced(content[keys[0]], keys[1:], value)
    return {**content, keys[0]: inner}


def at_step(parameter: Float | Int | FloatDistribution, steps: int) -> float:
    """Return the value so many steps above a number's low bound, as Optuna reckons: 0.1 and 4 of 0.05 are 0.3."""
    return float(Decimal(str(parameter.low)) + steps * Decimal(str(parameter.step)))


def placed(distribution: BaseDistribution, value: Any) -> Any:
    """Return a parameter's value as it is written: at its step, where the arithmetic of floats put it beside."""
    if isinstance(distribution, IntDistribution):
        return int(value)
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    on_grid = at_step(distribution, round((value - distribution.low) / distribution.step))
    return on_grid if abs(on_grid - value) <= _ROUNDING * distribution.step else value


def on_grid(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return parameters as they compare: each :func:`placed`; one without a distribution is left as it is."""
    return {**params, **{path: placed(one, params[path]) for path, one in distributions.items() if path in params}}


def _has(parameter: Float | Int, value: float) -> bool:
    """Say whether a number has a value, which the arithmetic of floats may have put beside its step."""
    step = 0 if parameter.log or parameter.step is None else parameter.step
    off = _ROUNDING * step
    inside = parameter.low - off <= value <= parameter.high + off
    return inside and (not step or abs(math.remainder(value - parameter.low, step)) <= off)


def _misfit(parameter: Parameter, value: Any) -> str:
    """Return why a parameter does not have the base's value, and what to change of the parameter."""
    if isinstance(parameter, Categorical):
        return f"none of the choices {list(parameter.named)}; add it to them"
    number, low, high = type(parameter.low), parameter.low, parameter.high
    if parameter.step is None or not isinstance(value, int | float) or not low <= value <= high:
        return f"outside [{low}, {high}]; widen the bounds"
    if isinstance(parameter, Int) and not float(value).is_integer():
        return "no whole number; write type: float"
    below = math.floor((value - low) / parameter.step)
    near = [number(at_step(parameter, steps)) for steps in (below, below + 1)]
    named = ", ".join(str(one) for one in near if one <= high)
    return f"at no step of {parameter.step} from {low} (nearest: {named}); write another step"


def _paths_in(content: Any, prefix: str = "") -> Iterator[str]:
    for key, value in enumerate(content) if isinstance(content, list) else content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict | list):
            yield from _paths_in(value, f"{prefix}{key}.")


def _nearest_path(path: str, known: list[str]) -> str:
    hint = suggestion(path, known)
    if hint.startswith("did you mean"):
        return hint
    parent = path.rpartition(".")[0]
    siblings = [candidate for candidate in known if candidate.rpartition(".")[0] == parent]
    return f"known here: {', '.join(siblings)}" if siblings else "known: " + ", ".join(p for p in known if "." not in p)
