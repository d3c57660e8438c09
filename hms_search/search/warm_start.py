"""Warm start: configurations that were good elsewhere are tried before a sampler proposes any.

A source is the name of a study in the same storage, whose best configurations that lie in the space are taken, or a
CSV file with a column per parameter (its dotted path; a choice by its name) and a row per configuration. A choice of a
study is known by what it becomes, whatever its name. What a study did not search is what its base has, if that lies in
the space; what a source does not say at all is the base's.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.errors import ConfigError, DataError, StudyError
from hms_search.search.carrying import fits, has
from hms_search.search.evidence import loss_of
from hms_search.search.outcomes import PARAMS_KEY, Direction, carried_from, origin_of
from hms_search.search.space import Categorical, Int, Parameter, Scalar, SearchSpace, on_grid, placed, value_at
from hms_search.search.spelling import Spelling, spelling_of
from hms_search.search.study_attributes import study_names

MOST_OF_A_STUDY = 5
"""Configurations that are taken from a study: the report went on from its best few, too."""


@dataclass(frozen=True)
class Known:
    """A configuration to start with, by its parameters, and where it comes from."""

    params: Mapping[str, Scalar]
    origin: str


def known_configurations(
    sources: tuple[str, ...], space: SearchSpace, storage: optuna.storages.BaseStorage
) -> tuple[Known, ...]:
    """Return the configurations of all sources, each once and without the baseline, in their order.

    Raises StudyError or DataError where a source does not exist or has nothing in the space, ConfigError where a line
    of a file is wrong.
    """
    seen, found = [space.baseline()], []
    for source in sources:
        for known in _of_file(Path(source), space) if source.endswith(".csv") else _of_study(source, space, storage):
            if known.params not in seen:
                seen.append(dict(known.params))
                found.append(known)
    return tuple(found)


def sources_of(origins: Collection[str], sources: Iterable[str]) -> list[str]:
    """Return those of some sources that configurations of these origins come from."""
    return [one for one in sources if any(origin.startswith((f"{one}#", f"{Path(one)}:")) for origin in origins)]


def _of_study(name: str, space: SearchSpace, storage: optuna.storages.BaseStorage) -> Iterator[Known]:
    names = study_names(storage)
    if name not in names:
        known = f"there are: {', '.join(sorted(names))}" if names else "there are none"
        raise StudyError(f"warm_start: no study {name!r}; {known}; a file ends in .csv")
    study = optuna.load_study(study_name=name, storage=storage)
    direction: Direction = "minimize" if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else "maximize"
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    translation, taken = _Translation(study, space), list[Mapping[str, Scalar]]()
    for trial in sorted(done, key=lambda trial: (loss_of(trial, direction), origin_of(trial))):
        params = translation.params_of(trial)
        if params is not None and params not in taken:
            taken.append(params)
            yield Known(params, f"{name}#{trial.number}")
        if len(taken) == MOST_OF_A_STUDY:
            return
    if not taken:
        raise StudyError(
            f"warm_start: none of the {len(done)} completed trials of study {name!r} lies in space {space.name}; "
            "widen the space or name another study"
        )


class _Translation:
    """A study's trials in the words of a space."""

    def __init__(self, study: optuna.Study, space: SearchSpace) -> None:
        self._study, self._space = study.study_name, space
        self._ours, self._baseline, self._grid = Spelling(space), space.baseline(), space.distributions
        self._spelling = cache(partial(spelling_of, study._storage))

    def params_of(self, trial: FrozenTrial) -> Mapping[str, Scalar] | None:
        """Return what a trial's experiment is called in the space, the base's where it has nothing; None outside it.

        The names of a study that hms-search did not make are the space's own.
        """
        theirs, ran = self._as_it_ran(trial)
        if theirs is None:
            params = {path: ran.get(path, value) for path, value in self._baseline.items()}
            return on_grid(params, self._grid) if fits(params, self._space) else None
        params, experiment = dict(self._baseline), theirs.experiment(ran)
        for path in params:
            try:
                params[path] = self._ours.name_of(path, value_at(experiment, path))
            except LookupError:
                if theirs.varies(path):
                    return None
        return params

    def _as_it_ran(self, trial: FrozenTrial) -> tuple[Spelling | None, Mapping[str, Any]]:
        """Return a trial's parameters, those that were frozen since among them, and the space that they are of."""
        origin = carried_from(trial)
        theirs = None if origin is None else self._spelling(origin[0])
        if theirs is not None and PARAMS_KEY in trial.user_attrs:
            return theirs, trial.user_attrs[PARAMS_KEY]
        return self._spelling(self._study), trial.params


def _of_file(file: Path, space: SearchSpace) -> Iterator[Known]:
    if not file.is_file():
        raise DataError(f"warm_start: no file {file}; give a .csv with a column per parameter")
    reader = csv.DictReader(io.StringIO(_text(file), newline=""))
    reader.fieldnames = columns = [column.strip() for column in reader.fieldnames or ()]
    unknown = [column for column in columns if column not in space.parameters]
    if unknown or not columns:
        raise ConfigError(
            f"{file}:1: expected columns among {', '.join(space.parameters)}, found "
            f"{', '.join(map(str, unknown)) or 'none'}"
        )
    if twice := [column for column, times in Counter(columns).items() if times > 1]:
        raise ConfigError(f"{file}:1: expected each column once, found {', '.join(twice)} again")
    baseline, empty = space.baseline(), True
    for row in reader:
        empty, where = False, f"{file}:{reader.line_num}"
        if None in row or None in row.values():
            raise ConfigError(f"{where}: expected {len(columns)} values, found another number")
        read = {path: _read(space.parameters[path], text.strip(), f"{where}: {path}") for path, text in row.items()}
        yield Known({**baseline, **read}, where)
    if empty:
        raise ConfigError(f"{file}:2: expected a row per configuration, found none")


def _text(file: Path) -> str:
    """Return a file's text, without the mark that Excel begins it with."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected text in UTF-8, found byte {error.object[error.start]:#04x}") from None


def _read(parameter: Parameter, text: str, where: str) -> Scalar:
    if isinstance(parameter, Categorical):
        for name in parameter.named:
            if str(name) == text:
                return name
        raise ConfigError(f"{where}: expected one of {', '.join(map(str, parameter.named))}, found {text!r}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not has(parameter, value):
        kind = "whole number" if isinstance(parameter, Int) else "number"
        steps = f" in steps of {parameter.step}" if parameter.step not in (None, 1) else ""
        raise ConfigError(f"{where}: expected a {kind} from {parameter.low} to {parameter.high}{steps}, found {text!r}")
    number: float = placed(parameter.distribution, value)  # 8 of 8.0, as pandas writes it
    return number
