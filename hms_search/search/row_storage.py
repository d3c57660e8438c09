"""Optuna's storage in a database, its trials read as plain rows: several times as fast as through its object mapper.

A study of 10,000 trials has some 170,000 rows of parameters, values and attributes. Optuna makes an object of each, and
then trials of the objects, in every process that looks at the study.
"""

import json
import math
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Float,
    Integer,
    Select,
    String,
    and_,
    any_,
    bindparam,
    cast,
    literal,
    null,
    or_,
    select,
    union_all,
)

from hms_search.search.row_writing import RowWriting

_MOST_NAMED = 1000
"""How many trials one statement names; databases limit the number of its variables."""
_PARAMETER, _VALUE, _STEP, _USER, _SYSTEM = range(5)
_NOT_FINITE = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
_TRIAL = models.TrialModel
_OF_ID = _TRIAL.trial_id == bindparam("trial_id")


class RowStorage(RowWriting):
    """Optuna's own storage but for how it reads trials and the attributes of studies; it finds the same."""

    _known: "_Known | None" = None
    """None where others may write."""
    _telling: Mapping[int, FrozenTrial] = MappingProxyType({})
    """Trials by id that nobody but this process writes to, which is about to tell them."""

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Read trials once for all who ask within: nobody else writes now, and what is written here is read again."""
        self._known = _Known()
        try:
            yield
        finally:
            self._known = None

    def begin_telling(self, trial_ids: Sequence[int]) -> None:
        """Read trials once for all who ask, and keep how they end for :meth:`write_told`, until :meth:`end_telling`."""
        found = self._trials(_named(self.engine.name), {"named": list(trial_ids)})
        self._telling, self._told = {trial._trial_id: trial for trial in found}, []

    def end_telling(self) -> None:
        """Read and write each by itself again."""
        self._telling, self._told = {}, None
        self._forget()

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Keep that a trial ended or began; say False where it was to begin and another process had begun it."""
        self._forget()
        return super().set_trial_state_values(trial_id, state, values)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; raises KeyError where there is none."""
        if trial_id in self._telling:
            return deepcopy(self._telling[trial_id])
        if self._known is not None and trial_id in self._known.begun:
            return deepcopy(self._known.begun[trial_id])
        found = self._trials(_OF_ID, {"trial_id": trial_id})
        if not found:
            raise KeyError(f"there is no trial of id {trial_id}")
        return found[0]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return what Optuna and its dashboard keep with a study; raises KeyError where there is none."""
        table = models.StudySystemAttributeModel
        with _create_scoped_session(self.scoped_session) as session:
            models.StudyModel.find_or_raise_by_id(study_id, session)
            rows = session.execute(select(table.key, table.value_json).where(table.study_id == study_id)).all()
        return {key: json.loads(content) for key, content in rows}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies in the order they were made."""
        study, direction = models.StudyModel, models.StudyDirectionModel
        tables = (models.StudyUserAttributeModel, models.StudySystemAttributeModel)
        with _create_scoped_session(self.scoped_session) as session:
            studies = session.execute(select(study.study_id, study.study_name).order_by(study.study_id)).all()
            ways = session.execute(
                select(direction.study_id, direction.direction).order_by(direction.study_id, direction.objective)
            ).all()
            attributes = [session.execute(select(one.study_id, one.key, one.value_json)).all() for one in tables]
        directions: defaultdict[int, list[Any]] = defaultdict(list)
        for study_id, way in ways:
            directions[study_id].append(way)
        user, system = (_by_study(rows) for rows in attributes)
        return [
            FrozenStudy(name, None, user[study_id], system[study_id], study_id, directions=directions[study_id])
            for study_id, name in studies
        ]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: Collection[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return a study's trials after one of them, and those ``included``, in the order they were asked.

        None are returned where none can have changed since they were last read.
        """
        again = trial_id_greater_than >= 0 or included_trial_ids  # Optuna's cache asks, which has the others
        if again and self._known is not None and study_id in self._known.studies:
            return []
        named = sorted(number for number in included_trial_ids if number <= trial_id_greater_than)
        asked = {"study_id": study_id, "after": trial_id_greater_than, "named": named}
        if len(named) > _MOST_NAMED:
            asked |= {"after": named[0] - 1, "named": []}
        found = self._trials(_of_study(self.engine.name), asked)
        if self._known is not None:
            self._known.studies.add(study_id)
        if not found:
            with _create_scoped_session(self.scoped_session) as session:
                models.StudyModel.find_or_raise_by_id(study_id, session)
        wanted = set(named)
        return [
            trial
            for trial in found
            if (states is None or trial.state in states)
            and (trial._trial_id > trial_id_greater_than or trial._trial_id in wanted)
        ]

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        made = super()._create_new_trial(study_id, template_trial)
        if self._known is not None:  # Optuna's cache takes it in by itself
            self._known.begun[made._trial_id] = made
        return made

    def _set_trial_param(self, *parameter: Any) -> None:
        self._forget()
        super()._set_trial_param(*parameter)

    def _written(self, model: Any, rows: Sequence[Mapping[str, Any]], place: tuple[str, str]) -> bool:
        self._forget()
        return super()._written(model, rows, place)

    def _forget(self) -> None:
        if self._known is not None:
            self._known = _Known()

    def _trials(self, chosen: ColumnElement[bool], asked: Mapping[str, Any]) -> list[FrozenTrial]:
        rows: Sequence[Any] = []
        with _create_scoped_session(self.scoped_session) as session:
            trials: Sequence[Any] = session.execute(_trials_where(chosen), asked).all()
            if 0 < len(trials) <= _MOST_NAMED:  # SQLite finds few trials among many by their ids alone
                named = {"named": [trial_id for trial_id, *_ in trials]}
                rows = session.execute(_parts_where(_named(self.engine.name)), named).all()
            elif trials:
                rows = session.execute(_parts_where(chosen), asked).all()
        parts: defaultdict[int, _Parts] = defaultdict(_Parts.empty)
        for kind, _, trial_id, name, number, content in rows:
            parts[trial_id].take(kind, name, number, content)
        return [
            FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=[value for _, value in sorted(parts[trial_id].values.items())] or None,
                datetime_start=_local(started),
                datetime_complete=_local(completed),
                params=parts[trial_id].params,
                distributions=parts[trial_id].distributions,
                user_attrs=parts[trial_id].user_attrs,
                system_attrs=parts[trial_id].system_attrs,
                intermediate_values=parts[trial_id].steps,
                trial_id=trial_id,
            )
            for trial_id, number, state, started, completed in trials
        ]


@dataclass(frozen=True)
class _Known:
    """The studies whose trials were read, and the trials that were begun, by id; nothing was written to them since."""

    studies: set[int] = field(default_factory=set)
    begun: dict[int, FrozenTrial] = field(default_factory=dict)


class _Parts(NamedTuple):
    """What a trial consists of, gathered from its rows."""

    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    values: dict[int, float]
    steps: dict[int, float]
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]

    @classmethod
    def empty(cls) -> "_Parts":
        """Return those of a trial that has no rows."""
        return cls({}, {}, {}, {}, {}, {})

    def take(self, kind: int, name: str, number: float | None, content: str) -> None:
        """Take in a row."""
        if kind == _PARAMETER:
            distribution = _distribution(content)
            self.distributions[name] = distribution
            self.params[name] = distribution.to_external_repr(number)  # type: ignore[arg-type]
        elif kind == _USER:
            self.user_attrs[name] = json.loads(content)
        elif kind == _SYSTEM:
            self.system_attrs[name] = json.loads(content)
        else:
            by_place = self.values if kind == _VALUE else self.steps
            by_place[int(name)] = _NOT_FINITE[content] if number is None else number


@cache
def _named(dialect: str) -> ColumnElement[bool]:
    """Return what chooses trials by their ids; PostgreSQL plans a statement once that is the same for any number."""
    if dialect == "postgresql":
        return _TRIAL.trial_id == any_(bindparam("named", type_=ARRAY(Integer)))
    return _TRIAL.trial_id.in_(bindparam("named", expanding=True))


@cache
def _of_study(dialect: str) -> ColumnElement[bool]:
    later = or_(_TRIAL.trial_id > bindparam("after"), _named(dialect))
    return and_(_TRIAL.study_id == bindparam("study_id"), later)


@cache
def _trials_where(chosen: ColumnElement[bool]) -> Select[Any]:
    columns = (_TRIAL.trial_id, _TRIAL.number, _TRIAL.state, _TRIAL._datetime_start_utc, _TRIAL._datetime_complete_utc)
    return select(*columns).where(chosen).order_by(_TRIAL.trial_id)


@cache
def _parts_where(chosen: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Return what reads all that belongs to trials, in the order it was written."""
    parameter, value, step = models.TrialParamModel, models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    no_number = cast(null(), Float)
    columns = {
        _PARAMETER: (
            parameter.param_id,
            parameter.trial_id,
            parameter.param_name,
            parameter.param_value,
            parameter.distribution_json,
        ),
        _VALUE: (
            value.trial_value_id,
            value.trial_id,
            cast(value.objective, String),
            value.value,
            cast(value.value_type, String),
        ),
        _STEP: (
            step.trial_intermediate_value_id,
            step.trial_id,
            cast(step.step, String),
            step.intermediate_value,
            cast(step.intermediate_value_type, String),
        ),
        _USER: (user.trial_user_attribute_id, user.trial_id, user.key, no_number, user.value_json),
        _SYSTEM: (system.trial_system_attribute_id, system.trial_id, system.key, no_number, system.value_json),
    }
    parts = [
        select(literal(kind), *own).join(_TRIAL, _TRIAL.trial_id == own[1]).where(chosen)
        for kind, own in columns.items()
    ]
    return union_all(*parts).order_by("param_id")


def _by_study(rows: Iterable[Any]) -> defaultdict[int, dict[str, Any]]:
    found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for study_id, key, content in rows:
        found[study_id][key] = json.loads(content)
    return found


@cache
def _distribution(content: str) -> BaseDistribution:
    return json_to_distribution(content)


def _local(moment: datetime | None) -> datetime | None:
    """Return a time of the database, in UTC, as Optuna gives it: in this machine's zone, without saying so."""
    return None if moment is None else moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
