"""Relocation: a study as it is, with its rounds, runs and models, in another storage and another MLflow; and back.

Nothing is taken from where it was. (:mod:`hms_search.search.migration` is another thing: trials for a changed space.)

    check all --> reserve the names --> runs --> models --> trials, later rounds first

The study's own trials come last, under the new names of their runs: until then nobody can run the copy.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import optuna
import sqlalchemy
from optuna.storages import BaseStorage

from hms_search.data.disk import takes_files
from hms_search.errors import StudyError, TrackingError, one_line, without_password
from hms_search.search.events import Event, Notice
from hms_search.search.locks import only_session, only_session_beside
from hms_search.search.outcomes import carried_from
from hms_search.search.patient_storage import patient_storage
from hms_search.search.peers import running_studies
from hms_search.search.places import Places
from hms_search.search.relocated_runs import RelocatedRuns, relocate_runs
from hms_search.search.round_studies import FIRST_KEY
from hms_search.search.storage import close_storage, existing_storage, lock_beside, open_storage, same_address
from hms_search.search.study_copy import StudyRecord, check_place, read_record, reserve_copy, write_copy
from hms_search.search.study_data import ReportProgress
from hms_search.tracking import NO_TRACKING, open_journaled, sync_line


@dataclass(frozen=True)
class Relocated:
    """What lies in the other place now: its studies, their trials, how many were written now, and what of the runs."""

    studies: tuple[str, ...]
    trials: int
    written: int
    runs: RelocatedRuns


def relocate(
    name: str, source: Places, target: Places, *, notify: Callable[[Event], None], progress: ReportProgress
) -> Relocated:
    """Copy a study from one storage and MLflow to others; called again, it goes on, or brings what was added since.

    With it go its rounds, and the studies that its trials were carried from.

    Raises StudyError where the study is not there, runs, or the target has another one of its name or one that has
    gone on by itself; TrackingError where MLflow cannot be read or written, or waits for what was not sent to it.
    """
    if same_address(source.storage, target.storage):
        raise StudyError(
            f"study {name!r} is in {without_password(target.storage)} already; name another storage with --to-storage"
        )
    with ExitStack() as stack:
        stack.enter_context(_reported())
        opened = stack.enter_context(existing_storage(source.storage))
        names = related_studies(opened, name)
        for path in (source.lock(f"{one}{of}") for one in names for of in ("", ".again", ".promotion")):
            stack.enter_context(only_session(path, path.stem))
        _hold_beside(names, source, stack)
        for one in names:
            _send_journals(one, source)
        records = [record for one in names if (record := read_record(opened, one)) is not None]
        made = open_storage(target.storage)
        stack.callback(close_storage, made)
        _hold_beside(names, target, stack)
        for storage in (opened, made):
            _check_idle(names, storage, lambda text: notify(Notice(text)))
        storage = patient_storage(made, lambda text: notify(Notice(text, warning=True)))
        for record in records:
            check_place(record, read_record(storage, record.name))
        runs = relocate_runs(
            records,
            source,
            target,
            reserve=lambda: _reserve(records, storage),
            notify=notify,
            progress=progress,
        )
        written = 0
        for record in reversed(records):  # until the first round is there, nobody can run any
            for step in write_copy(record.renamed(runs.ids), storage):
                progress(f"copying trials of {record.name}", step)
                written += 1
        return Relocated(names, sum(len(record.trials) for record in records), written, runs)


def related_studies(storage: BaseStorage, name: str) -> tuple[str, ...]:
    """Return a study's first round, its later rounds, and the studies whose trials were carried into one of them.

    Raises StudyError where the storage has no study of that name.
    """
    known = {one.study_name: one.user_attrs for one in storage.get_all_studies()}
    if name not in known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise StudyError(f"the storage has no study {name!r}: {there}")
    first = known[name].get(FIRST_KEY, name)
    rounds = [one for one, attrs in known.items() if attrs.get(FIRST_KEY) == first]
    found = [first, *rounds]
    for one in found:  # grows meanwhile
        trials = optuna.load_study(study_name=one, storage=storage).get_trials(deepcopy=False)
        origins = {origin[0] for trial in trials if (origin := carried_from(trial)) is not None}
        found += sorted((origins | {known[one].get(FIRST_KEY, one)}) & known.keys() - {*found})
    return tuple(found)


def _hold_beside(names: Sequence[str], places: Places, stack: ExitStack) -> None:
    """Hold the locks of studies beside a storage in a file; where it cannot be written nobody runs them."""
    for name in names:
        path = lock_beside(places.storage, name)
        if path is not None and takes_files(path.parent):
            stack.enter_context(only_session_beside(path, name, places.root))


def _check_idle(names: Sequence[str], storage: BaseStorage, say: Callable[[str], None]) -> None:
    """Raise StudyError where a session runs one of the studies, on whatever machine."""
    for name in sorted(running_studies(storage, names, say)):
        raise StudyError(
            f"study {name!r} is being run, perhaps on another machine; stop its sessions (hms-search run, "
            f"hms-search worker {name}) first"
        )


def _reserve(records: Sequence[StudyRecord], storage: BaseStorage) -> None:
    for record in records:
        reserve_copy(record, storage)


def _send_journals(name: str, source: Places) -> None:
    """Send what waits for MLflow of a study; raises TrackingError where some of it still does."""
    journals = source.journals(name)
    waiting = open_journaled(source.tracking_uri, source.artifacts, journals, study=name).send_waiting(insist=True)
    if waiting.untold and source.tracking_uri != NO_TRACKING:
        raise TrackingError(
            f"{waiting.untold} runs of {name!r} wait in {journals} for MLflow: {waiting.reason}; when it answers: "
            f"{sync_line(source.tracking)}, then this command again"
        )


@contextmanager
def _reported() -> Iterator[None]:
    """Turn what a storage raises into one line."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        message = one_line(error.__cause__ or error)
        raise StudyError(f"a storage failed: {message}; repeat the command when it answers") from error
