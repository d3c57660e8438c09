"""Warm start: configurations that were good elsewhere are tried before a sampler proposes any.

A source is the name of a study in the same storage, whose best configurations that lie in the space are taken, or a
CSV file with a column per parameter (its dotted path; a choice by its name) and a row per configuration. What a study
did not search is what its base has, if that lies in the space; what a source does not say at all is the base's.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState

from hms_search.errors import ConfigError, DataError, StudyError
from hms_search.search.carrying import PARAMS_KEY, fits, has
from hms_search.search.space import Categorical, Int, Parameter, Scalar, SearchSpace, on_grid, placed
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONFIG_KEY, stored_config, study_names

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


def _of_study(name: str, space: SearchSpace, storage: optuna.storages.BaseStorage) -> Iterator[Known]:
    names = study_names(storage)
    if name not in names:
        known = f"there are: {', '.join(sorted(names))}" if names else "there are none"
        raise StudyError(f"warm_start: no study {name!r}; {known}; a file ends in .csv")
    study = optuna.load_study(study_name=name, storage=storage)
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MINIMIZE else -1
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(done, key=lambda trial: (sign * trial.values[0], trial.number))
    base = _base_of(study, space)
    filled = [_completed({**base, **trial.user_attrs.get(PARAMS_KEY, {}), **trial.params}, space) for trial in ranked]
    pairs, grid = zip(ranked, filled, strict=True), space.distributions
    inside = [(trial, on_grid(params, grid)) for trial, params in pairs if fits(params, space)]
    if not inside:
        raise StudyError(
            f"warm_start: none of the {len(done)} completed trials of study {name!r} lies in space {space.name}; "
            "widen the space or name another study"
        )
    distinct = [one for place, one in enumerate(inside) if one[1] not in (before for _, before in inside[:place])]
    for trial, params in distinct[:MOST_OF_A_STUDY]:
        yield Known(params, f"{name}#{trial.number}")


def _base_of(study: optuna.Study, space: SearchSpace) -> dict[str, Scalar]:
    """Return what a study's own base has at the paths of a space, where that lies in it; nothing of a foreign study."""
    if CONFIG_KEY not in study.user_attrs:
        return {}
    theirs, found = StudyConfig.model_validate(stored_config(study)).space, {}
    for path in filter(theirs.has_path, space.parameters):
        with suppress(LookupError):
            found[path] = space.name_of(path, theirs.base_value(path))
    return found


def _of_file(file: Path, space: SearchSpace) -> Iterator[Known]:
    if not file.is_file():
        raise DataError(f"warm_start: no file {file}; give a .csv with a column per parameter")
    reader = csv.DictReader(io.StringIO(_text(file), newline=""))
    columns = reader.fieldnames or ()
    unknown = [column for column in columns if column not in space.parameters]
    if unknown or not columns:
        raise ConfigError(
            f"{file}:1: expected columns among {', '.join(space.parameters)}, found "
            f"{', '.join(map(str, unknown)) or 'none'}"
        )
    if twice := [column for column, times in Counter(columns).items() if times > 1]:
        raise ConfigError(f"{file}:1: expected each column once, found {', '.join(twice)} again")
    empty = True
    for row in reader:
        empty, where = False, f"{file}:{reader.line_num}"
        if None in row or None in row.values():
            raise ConfigError(f"{where}: expected {len(columns)} values, found another number")
        read = {path: _read(space.parameters[path], text, f"{where}: {path}") for path, text in row.items()}
        yield Known(_completed(read, space), where)
    if empty:
        raise ConfigError(f"{file}:2: expected a row per configuration, found none")


def _text(file: Path) -> str:
    """Return a file's text, without the mark that Excel begins it with."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected text in UTF-8, found byte {error.object[error.start]:#04x}") from None


def _completed(params: Mapping[str, Scalar], space: SearchSpace) -> dict[str, Scalar]:
    """Return the parameters of the space, the base's where there are none."""
    return {path: params.get(path, value) for path, value in space.baseline().items()}


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
