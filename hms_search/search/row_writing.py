"""Optuna's storage in a database, with what is kept of a trial written by one statement instead of two or three.

Optuna reads the trial, to refuse one that has ended, and what stands in the value's place, before it writes. Here the
statement itself writes nothing to a trial that has ended.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Select, Table, Update, bindparam, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert, ReturningInsert

_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_COUNTED = {"preserve_rowcount": True}
_TRIALS: Any = models.TrialModel.__table__
_STUDY = models.StudyModel
_OPEN = or_(_TRIALS.c.state == TrialState.RUNNING, _TRIALS.c.state == TrialState.WAITING)


_End = tuple[int, TrialState, Sequence[float]]
"""Of which trial, its state and its values."""


class RowWriting(RDBStorage):
    """Optuna's own storage but for how it writes what a trial gathers and its end, on SQLite and PostgreSQL."""

    _gathered: list[tuple[int, str, float, BaseDistribution, BaseDistribution | None]] | None = None
    _told: list[_End] | None = None

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Begin a trial, or keep what ``template_trial`` says; raises KeyError where there is no such study."""
        if template_trial is not None or self.engine.name not in _INSERTS or not self.engine.dialect.insert_returning:
            return super()._create_new_trial(study_id, template_trial)
        began = datetime.now(UTC)
        row = {"study_id": study_id, "state": TrialState.RUNNING, "datetime_start": began.replace(tzinfo=None)}
        with _create_scoped_session(self.scoped_session, True) as session:
            connection = session.connection()
            if self.engine.name == "postgresql":  # on SQLite a statement that writes is alone
                connection.execute(_study_held(), {"study_id": study_id})
            made = connection.execute(_next_trial(self.engine.name), row).first()
        if made is None:
            raise KeyError(f"there is no study of id {study_id}")
        trial_id, number = made
        return FrozenTrial(
            number=number,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=began.astimezone().replace(tzinfo=None),
            datetime_complete=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            trial_id=trial_id,
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute; raises UpdateFinishedTrialError, and KeyError where there is no such trial."""
        self.set_user_attrs([(trial_id, key, value)])

    def set_user_attrs(self, given: Sequence[tuple[int, str, Any]]) -> None:
        """Keep attributes: of which trial, name and value of each; raises as above."""
        if not self._attributes_written(models.TrialUserAttributeModel, given):
            for one in given:
                super().set_trial_user_attr(*one)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute of Optuna's own."""
        self.set_system_attrs([(trial_id, key, value)])

    def set_system_attrs(self, given: Sequence[tuple[int, str, Any]]) -> None:
        """Keep attributes of Optuna's own: of which trial, name and value of each."""
        if not self._attributes_written(models.TrialSystemAttributeModel, given):
            for one in given:
                super().set_trial_system_attr(*one)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Keep the value of a step."""
        self.set_intermediate_values([(trial_id, step, intermediate_value)])

    def set_intermediate_values(self, given: Sequence[tuple[int, int, float]]) -> None:
        """Keep the values of steps: of which trial, step and value of each."""
        table, rows = models.TrialIntermediateValueModel, []
        for trial_id, step, value in given:
            stored, kind = table.intermediate_value_to_stored_repr(value)
            row = {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}
            rows.append(row)
        if not self._written(table, rows, ("trial_id", "step")):
            for one in given:
                super().set_trial_intermediate_value(*one)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Keep how a trial ended; say False where it was to be started and another process did."""
        if not state.is_finished():
            return super().set_trial_state_values(trial_id, state, values)
        end = (trial_id, state, values or ())
        if self._told is not None:
            self._told.append(end)
        elif not self._ended([end]):
            return super().set_trial_state_values(trial_id, state, values)
        return True

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep an attribute of a study, as its dashboard's notes are; raises KeyError where there is no such study."""
        self.set_study_system_attrs([(study_id, key, value)])

    def set_study_system_attrs(self, given: Sequence[tuple[int, str, Any]]) -> None:
        """Keep attributes: of which study, name and value of each; raises as above."""
        if not self._attributes_written(models.StudySystemAttributeModel, given, owner="study_id"):
            for one in given:
                super().set_study_system_attr(*one)

    def gather(self, keep: bool) -> None:
        """Keep the parameters that are given from now on for :meth:`write_gathered`, or write each by itself again."""
        self._gathered = [] if keep else None

    def write_gathered(self) -> None:
        """Write the parameters that were given meanwhile, again where the database did not answer.

        Raises UpdateFinishedTrialError as Optuna does, and KeyError where there is no such trial.
        """
        given = self._gathered or []
        rows = [self._parameter(*one[:4]) for one in given]
        if not self._written(models.TrialParamModel, rows, ("trial_id", "param_name")):
            for one in given:
                super()._set_trial_param(*one)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        """Keep a parameter; raises ValueError where its distribution cannot follow that of the trials before."""
        given = (trial_id, param_name, param_value_internal, distribution, previous_distribution)
        if previous_distribution is None:  # Optuna's own way looks for one
            return super()._set_trial_param(*given)
        check_distribution_compatibility(previous_distribution, distribution)
        if self._gathered is not None:
            self._gathered.append(given)
        elif not self._written(models.TrialParamModel, [self._parameter(*given[:4])], ("trial_id", "param_name")):
            super()._set_trial_param(*given)
        return None

    def write_told(self, again: bool) -> None:
        """Write how trials ended that were told meanwhile; ``again`` says that this may have been done.

        Raises UpdateFinishedTrialError as Optuna does where one had ended, and KeyError where there is no such trial.
        """
        told = self._told or []
        for trial_id, state, values in () if self._ended(told) else told:
            try:
                super().set_trial_state_values(trial_id, state, values or None)
            except UpdateFinishedTrialError:
                if not again:
                    raise

    @staticmethod
    def _parameter(trial_id: int, name: str, value: float, distribution: BaseDistribution) -> dict[str, Any]:
        shown = distribution_to_json(distribution)
        return {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": shown}

    def _attributes_written(self, model: Any, given: Sequence[tuple[int, str, Any]], owner: str = "trial_id") -> bool:
        rows = [{owner: owner_id, "key": key, "value_json": json.dumps(value)} for owner_id, key, value in given]
        return self._written(model, rows, (owner, "key"))

    def _written(self, model: Any, rows: Sequence[Mapping[str, Any]], place: tuple[str, str]) -> bool:
        """Write rows in place of what stands there; say whether all their trials are open, or their study there."""
        if not rows or self.engine.name not in _INSERTS:
            return not rows
        with _create_scoped_session(self.scoped_session, True) as session:
            return self._insert(session.connection(), model, rows, place)

    def _ended(self, ends: Sequence[_End]) -> bool:
        """End trials; say whether all were open, otherwise none is ended."""
        if not ends or self.engine.name not in _INSERTS:
            return not ends
        rows, now = [], datetime.now(UTC).replace(tzinfo=None)
        for trial_id, _, values in ends:
            for objective, value in enumerate(values):
                stored, kind = models.TrialValueModel.value_to_stored_repr(value)
                rows.append({"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind})
        states = [{"id": trial_id, "state": state, "datetime_complete": now} for trial_id, state, _ in ends]
        with _create_scoped_session(self.scoped_session, True) as session:
            connection = session.connection()
            are_open = not rows or self._insert(connection, models.TrialValueModel, rows, ("trial_id", "objective"))
            if are_open and connection.execute(_end(), states, execution_options=_COUNTED).rowcount == len(states):
                return True
            session.rollback()
        return False

    def _insert(
        self, connection: Connection, model: Any, rows: Sequence[Mapping[str, Any]], place: tuple[str, str]
    ) -> bool:
        statement = _statement(self.engine.name, model.__table__, place)
        return connection.execute(statement, rows, execution_options=_COUNTED).rowcount == len(rows)


@cache
def _study_held() -> Select[Any]:
    """Return the statement that holds a study's row: nobody else numbers a trial of it meanwhile."""
    return select(_STUDY.study_id).where(_STUDY.study_id == bindparam("study_id")).with_for_update()


@cache
def _next_trial(dialect: str) -> ReturningInsert[Any]:
    """Return the statement that writes a trial with the next number of its study, and gives its id and that number."""
    columns = {name: _TRIALS.c[name] for name in ("number", "study_id", "state", "datetime_start")}
    given = [bindparam(name, type_=column.type).label(name) for name, column in columns.items() if name != "number"]
    place = _STUDY.study_id == bindparam("study_id")
    past = select(func.count()).where(_TRIALS.c.study_id == _STUDY.study_id).scalar_subquery()
    source = select(past, *given).where(place)
    insert = _INSERTS[dialect](_TRIALS).from_select(list(columns), source)
    return insert.returning(_TRIALS.c.trial_id, _TRIALS.c.number)  # type: ignore[no-any-return]


@cache
def _end() -> Update:
    """Return the statement that ends an open trial."""
    ended = update(_TRIALS).where(_TRIALS.c.trial_id == bindparam("id"), _OPEN)
    return ended.values(state=bindparam("state"), datetime_complete=bindparam("datetime_complete"))


@cache
def _statement(dialect: str, table: Table, place: tuple[str, ...]) -> Insert:
    """Return the statement that writes a row of a table in its place, if its trial is open or its study there."""
    names = [column.name for column in table.columns if not column.primary_key]
    row = [bindparam(name, type_=table.c[name].type).label(name) for name in names]
    if place[0] == "trial_id":
        source = select(*row).where(_TRIALS.c.trial_id == bindparam("trial_id"), _OPEN)
    else:
        source = select(*row).where(models.StudyModel.study_id == bindparam("study_id"))
    insert = _INSERTS[dialect](table).from_select(names, source)
    replaced = {name: insert.excluded[name] for name in names if name not in place}
    return insert.on_conflict_do_update(index_elements=list(place), set_=replaced)  # type: ignore[no-any-return]
