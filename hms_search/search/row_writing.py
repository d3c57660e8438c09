"""Optuna's storage in a database, with each value of a trial written by one statement instead of two or three.

Optuna reads the trial, to refuse one that has ended, and what stands in the value's place, before it writes. Here the
statement itself writes nothing to a trial that has ended.
"""

import json
import sqlite3
from collections.abc import Mapping
from functools import cache
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState
from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

_INSERTS: dict[str, Any] = {"postgresql": postgresql.insert}
if sqlite3.sqlite_version_info >= (3, 35):  # since then it returns what was written
    _INSERTS["sqlite"] = sqlite.insert
_OPEN = (TrialState.RUNNING, TrialState.WAITING)


class RowWriting(RDBStorage):
    """Optuna's own storage but for how it writes attributes and values by step, on SQLite and PostgreSQL."""

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute; raises UpdateFinishedTrialError, and KeyError where there is no such trial."""
        if not self._set(models.TrialUserAttributeModel, trial_id, {"key": key}, {"value_json": json.dumps(value)}):
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep an attribute of Optuna's own."""
        if not self._set(models.TrialSystemAttributeModel, trial_id, {"key": key}, {"value_json": json.dumps(value)}):
            super().set_trial_system_attr(trial_id, key, value)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Keep the value of a step."""
        table = models.TrialIntermediateValueModel
        stored, kind = table.intermediate_value_to_stored_repr(intermediate_value)
        content = {"intermediate_value": stored, "intermediate_value_type": kind}
        if not self._set(table, trial_id, {"step": step}, content):
            super().set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep an attribute of a study, as its dashboard's notes are; raises KeyError where there is no such study."""
        row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        if not self._written(models.StudySystemAttributeModel, row, ("study_id", "key")):
            super().set_study_system_attr(study_id, key, value)

    def _set(self, model: Any, trial_id: int, place: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
        return self._written(model, {"trial_id": trial_id, **place, **content}, ("trial_id", *place))

    def _written(self, model: Any, row: Mapping[str, Any], place: tuple[str, ...]) -> bool:
        """Write a row in place of what stands there; say whether its trial is open, or its study there."""
        if self.engine.name not in _INSERTS:
            return False
        with _create_scoped_session(self.scoped_session, True) as session:
            return session.execute(_statement(self.engine.name, model.__table__, place), row).first() is not None


@cache
def _statement(dialect: str, table: Table, place: tuple[str, ...]) -> ReturningInsert[Any]:
    """Return the statement that writes a row of a table in its place, if its trial is open or its study there."""
    names = [column.name for column in table.columns if not column.primary_key]
    row = [bindparam(name, type_=table.c[name].type).label(name) for name in names]
    trial, study = models.TrialModel, models.StudyModel
    if place[0] == "trial_id":
        source = select(*row).where(trial.trial_id == bindparam("trial_id"), trial.state.in_(_OPEN))
    else:
        source = select(*row).where(study.study_id == bindparam("study_id"))
    insert = _INSERTS[dialect](table).from_select(names, source)
    replaced = {name: insert.excluded[name] for name in names if name not in place}
    written = insert.on_conflict_do_update(index_elements=list(place), set_=replaced)
    return written.returning(table.c[place[0]])  # type: ignore[no-any-return]
