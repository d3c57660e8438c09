"""A storage that waits while its database server is away, instead of ending the study.

A server that restarts breaks the connections to it and refuses new ones for a while. Optuna then raises out of whatever
was asked of it, and the trials that are running would be lost with the session.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.storages._cached_storage import _CachedStorage

from hms_search.errors import StudyError, driver_message
from hms_search.search.row_storage import RowStorage
from hms_search.search.storage import GOES_ON

Answer = TypeVar("Answer")
PATIENCE_S = 900.0
"""How long a server may be away; a restart takes seconds, an upgrade minutes."""
_LONGEST_PAUSE_S = 5.0
_LOOK_S = 0.1
"""How often who waits looks whether it is still to: a signal that has a handler does not end a sleep."""
_STOPPED: ContextVar[Callable[[], bool]] = ContextVar("hms_search_stopped")


def patient_storage(storage: BaseStorage, say: Callable[[str], None]) -> BaseStorage:
    """Return a storage that waits for its server; one in a file has none, and is returned as it is."""
    return PatientStorage(storage, say) if has_server(storage) else storage


def has_server(storage: BaseStorage) -> bool:
    """Say whether a storage is a database server, which many machines can reach and which can be away."""
    return isinstance(storage, RDBStorage) and storage.engine.dialect.name != "sqlite"


def _patient(name: str) -> Any:
    def method(self: "PatientStorage", *args: Any, **kwargs: Any) -> Any:
        return self._insist(name, *args, **kwargs)

    method.__name__ = name
    return method


class PatientStorage(BaseStorage):
    """Asks a storage again and again while its server is away; ``say`` is told of it, once for each time.

    What the server had done before the connection broke is not done twice where that would show: a trial that had
    been ended stays so. A trial that had been created or claimed is left running, nobody knows its number; the
    coordinator runs such a one again.
    """

    def __init__(self, storage: BaseStorage, say: Callable[[str], None], *, patience_s: float = PATIENCE_S) -> None:
        self._backend, self._say, self._patience_s = get_storage(storage), say, patience_s

    create_new_study = _patient("create_new_study")
    delete_study = _patient("delete_study")
    set_study_user_attr = _patient("set_study_user_attr")
    set_study_system_attr = _patient("set_study_system_attr")
    get_study_id_from_name = _patient("get_study_id_from_name")
    get_study_name_from_id = _patient("get_study_name_from_id")
    get_study_directions = _patient("get_study_directions")
    get_study_user_attrs = _patient("get_study_user_attrs")
    get_study_system_attrs = _patient("get_study_system_attrs")
    get_all_studies = _patient("get_all_studies")
    create_new_trial = _patient("create_new_trial")
    set_trial_param = _patient("set_trial_param")
    set_trial_state_values = _patient("set_trial_state_values")
    set_trial_intermediate_value = _patient("set_trial_intermediate_value")
    set_trial_user_attr = _patient("set_trial_user_attr")
    set_trial_system_attr = _patient("set_trial_system_attr")
    get_trial_id_from_study_id_trial_number = _patient("get_trial_id_from_study_id_trial_number")
    get_trial_number_from_id = _patient("get_trial_number_from_id")
    get_trial_param = _patient("get_trial_param")
    get_trial = _patient("get_trial")
    get_all_trials = _patient("get_all_trials")
    get_n_trials = _patient("get_n_trials")
    get_best_trial = _patient("get_best_trial")
    remove_session = _patient("remove_session")

    def _insist(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the storage until its server answers, or has been away for too long."""
        call = getattr(self._backend, name)

        def once(again: bool) -> Any:
            try:
                return call(*args, **kwargs)
            except UpdateFinishedTrialError:
                if again and name == "set_trial_state_values":  # it had been done before the connection broke
                    return True
                raise

        return insist(once, self._say, patience_s=self._patience_s)


def set_user_attrs(storage: BaseStorage, given: Sequence[tuple[int, str, Any]]) -> None:
    """Keep attributes of trials (id, name and value of each), in a database by one statement."""
    _set_all(storage, "user_attrs", storage.set_trial_user_attr, given)


def set_system_attrs(storage: BaseStorage, given: Sequence[tuple[int, str, Any]]) -> None:
    """Keep attributes of Optuna's own of trials (id, name and value of each), in a database by one statement."""
    _set_all(storage, "system_attrs", storage.set_trial_system_attr, given)


def set_intermediate_values(storage: BaseStorage, given: Sequence[tuple[int, int, float]]) -> None:
    """Keep what trials reached (id, step and value of each), in a database by one statement."""
    _set_all(storage, "intermediate_values", storage.set_trial_intermediate_value, given)


def set_study_system_attrs(storage: BaseStorage, study_id: int, attributes: Mapping[str, Any]) -> None:
    """Keep attributes of a study, in a database by one statement."""
    given = [(study_id, key, value) for key, value in attributes.items()]
    _set_all(storage, "study_system_attrs", storage.set_study_system_attr, given)


@contextmanager
def parameters_together(storage: BaseStorage) -> Iterator[None]:
    """Write the parameters that a trial is given within at the end, in a database by one statement."""
    rows = _rows_of(storage)
    if rows is None:
        yield
        return
    rows.gather(keep=True)
    try:
        yield
    finally:
        try:
            _patiently(storage, lambda _: rows.write_gathered())
        finally:
            rows.gather(keep=False)


@contextmanager
def told_together(storage: BaseStorage, trials: Sequence[int]) -> Iterator[None]:
    """Read the trials (ids) that are told within once, and write how they ended at the end, in a database all at once.

    Raises UpdateFinishedTrialError at its end where one had ended before.
    """
    rows = _rows_of(storage)
    if rows is None or not trials:
        yield
        return
    _patiently(storage, lambda _: rows.begin_telling(trials))
    try:
        yield
    finally:
        try:
            _patiently(storage, rows.write_told)
        finally:
            rows.end_telling()


def undisturbed(storage: BaseStorage) -> AbstractContextManager[None]:
    """Read a study's trials from a database once for all who ask within; only for as long as nobody else writes."""
    rows = _rows_of(storage)
    return nullcontext() if rows is None else rows.undisturbed()


def _rows_of(storage: BaseStorage) -> RowStorage | None:
    """Return the database that a storage, patient or with Optuna's cache, is in front of."""
    while isinstance(storage, PatientStorage | _CachedStorage):
        storage = storage._backend
    return storage if isinstance(storage, RowStorage) else None


def _set_all(
    storage: BaseStorage, what: str, set_one: Callable[..., None], given: Sequence[tuple[int, Any, Any]]
) -> None:
    rows = _rows_of(storage)
    if rows is not None:
        _patiently(storage, lambda _: getattr(rows, f"set_{what}")(given))
        return
    for one in given:
        set_one(*one)


def _patiently(storage: BaseStorage, call: Callable[[bool], None]) -> None:
    """Call what a storage is in front of, with its patience if it has some; it is told whether it is called again."""
    if isinstance(storage, PatientStorage):
        insist(call, storage._say, patience_s=storage._patience_s)
    else:
        call(False)


def insist(ask: Callable[[bool], Answer], say: Callable[[str], None], *, patience_s: float = PATIENCE_S) -> Answer:
    """Return what a server answers, asked again and again while it is away; ``ask`` is told whether it is asked again.

    Raises StudyError where the server has been away for too long, or was not to be waited for any more
    (:func:`not_waiting_once`).
    """
    until, pause_s = time.monotonic() + patience_s, 0.1
    again = False
    while True:
        try:
            return ask(again)
        except (StorageInternalError, sqlalchemy.exc.DBAPIError) as error:
            if not is_away(error):
                raise
            if again and _is_stopped():  # the first may only have met a connection from before a restart
                raise StudyError(
                    f"stopped while the database server was away; when it answers again, {GOES_ON}"
                ) from error
            if time.monotonic() > until:
                raise StudyError(
                    f"the database server was away for {patience_s / 60:.0f} min: {driver_message(error)}; when it "
                    f"answers again, {GOES_ON}"
                ) from error
            if not again:
                say(f"the database server is away: waiting up to {patience_s / 60:.0f} min for it")
        again = True
        _pause(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


@contextmanager
def not_waiting_once(stopped: Callable[[], bool]) -> Iterator[None]:
    """Within, what waits for a server gives up soon after ``stopped`` says that the user asked for that."""
    token = _STOPPED.set(stopped)
    try:
        yield
    finally:
        _STOPPED.reset(token)


def _is_stopped() -> bool:
    stopped = _STOPPED.get(None)
    return stopped is not None and stopped()


def _pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not _is_stopped():
        time.sleep(min(left, _LOOK_S))


def is_away(error: BaseException | None) -> bool:
    """Say whether an error comes of the connection, not of what was asked."""
    while error is not None:
        if isinstance(error, _BROKEN) or (
            isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


_BROKEN = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.PendingRollbackError,  # of a session whose connection broke before
    sqlalchemy.exc.ResourceClosedError,
)
