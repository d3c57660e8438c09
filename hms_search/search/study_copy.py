"""A study as plain values that any storage can take in, and a copy of it made, gone on with, or brought up to date.

Optuna's ``copy_study`` keeps all of a trial, but refuses a study that is there, half a one too, and keeps notes under
ids of trials that are others in the new storage. A copy that is not complete has no configuration: nobody takes it for
a study.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from hms_search.component import fingerprint_of
from hms_search.data.progress import Progress
from hms_search.errors import StudyError
from hms_search.search.contract import has_study
from hms_search.search.foreign import COPIED_KEY
from hms_search.search.study_attributes import CONFIG_KEY, CONTRACT_KEY
from hms_search.tracking.run_ids import renamed, unnamed

_OF_TRIAL = re.compile(r"dashboard:(\d+):(.+)")
"""What optuna-dashboard calls a trial's note, by the id that the trial has in its storage."""
_LAST = (CONTRACT_KEY, CONFIG_KEY)
"""What makes a study one of ours; a copy gets it when all else is there."""
_UNFINISHED = ""


@dataclass(frozen=True)
class StudyRecord:
    """All that a storage has of a study; notes of trials are kept by (number, key).

    ``copied_as`` is the fingerprint that a copy had when it was made; None of a study that was run where it is.
    """

    name: str
    directions: tuple[StudyDirection, ...]
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]
    notes: Mapping[tuple[int, str], Any]
    trials: tuple[FrozenTrial, ...]
    copied_as: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is a study, not a copy that was broken off."""
        return self.copied_as != _UNFINISHED

    @property
    def content(self) -> list[Any]:
        """All of it as JSON keeps it."""
        return self._content(_in_utc)

    @property
    def fingerprint(self) -> str:
        """What tells it from any other state of it, in whatever storage: its content but for the names of runs."""
        return fingerprint_of(unnamed(self.content))

    def is_as_when(self, *copied: str | None) -> bool:
        """Say whether it is as it was when one of these copies was made; earlier versions named them by local times."""
        return self.fingerprint in copied or fingerprint_of(unnamed(self._content(datetime.isoformat))) in copied

    def _content(self, written: Callable[[datetime], str]) -> list[Any]:
        notes = [[number, key, note] for (number, key), note in sorted(self.notes.items())]
        kept = [self.name, [int(one) for one in self.directions], dict(self.user_attrs), dict(self.system_attrs)]
        return [*kept, notes, [_trial_content(trial, written) for trial in self.trials]]

    def renamed(self, ids: Mapping[str, str]) -> "StudyRecord":
        """Return it with the names that its runs have elsewhere."""
        return replace(
            self,
            user_attrs=renamed(self.user_attrs, ids),
            system_attrs=renamed(self.system_attrs, ids),
            notes={key: renamed(note, ids) for key, note in self.notes.items()},
            trials=tuple(_renamed(trial, ids) for trial in self.trials),
        )


def read_record(storage: BaseStorage, name: str) -> StudyRecord | None:
    """Return a study as a storage has it, None where it has none of that name."""
    if not has_study(storage, name):
        return None
    study_id = storage.get_study_id_from_name(name)
    trials = sorted(storage.get_all_trials(study_id, deepcopy=False), key=lambda trial: trial.number)
    numbers = {trial._trial_id: trial.number for trial in trials}
    own, notes = {}, {}
    for key, value in storage.get_study_system_attrs(study_id).items():
        found = _OF_TRIAL.fullmatch(key)
        if found is None:
            own[key] = value
        elif int(found[1]) in numbers:
            notes[numbers[int(found[1])], found[2]] = value
    user_attrs = dict(storage.get_study_user_attrs(study_id))
    copied_as = user_attrs.pop(COPIED_KEY, None)
    directions = tuple(storage.get_study_directions(study_id))
    return StudyRecord(name, directions, user_attrs, own, notes, tuple(trials), copied_as)


def check_place(source: StudyRecord, target: StudyRecord | None) -> None:
    """Raise StudyError where a storage's study of that name may not give way to ``source``.

    It may where it is the same study at an earlier time: one that was copied, and has not gone on since.
    """
    if target is None or source.fingerprint == target.fingerprint:
        return
    what = f"the target has a study {source.name!r} already"
    theirs, ours = target.user_attrs.get(CONTRACT_KEY, {}), source.user_attrs.get(CONTRACT_KEY, {})
    if target.is_whole and theirs != ours:
        changed = sorted(key for key in ours if theirs.get(key) != ours[key])
        details = f"with another {' and '.join(changed)}" if theirs else "that hms-search did not make"
        raise StudyError(f"{what}, {details}; name another storage, or give one of the two another name")
    if not (_is_earlier(target, source) or _is_earlier(source, target)):
        raise StudyError(f"{what}, with other trials; name another storage, or remove that study first")
    if target.is_whole and not target.is_as_when(source.copied_as, target.copied_as):
        raise StudyError(
            f"{what}, which has gone on since they were the same ({len(target.trials)} trials there, "
            f"{len(source.trials)} here): what was done there would be lost; copy it from there to here instead"
        )


def reserve_copy(source: StudyRecord, storage: BaseStorage) -> None:
    """Make a study that nobody can run, where there is none of that name: the place of the copy to come."""
    if not has_study(storage, source.name):
        study_id = storage.create_new_study(source.directions, source.name)
        storage.set_study_user_attr(study_id, COPIED_KEY, _UNFINISHED)


def write_copy(source: StudyRecord, storage: BaseStorage) -> Iterator[Progress]:
    """Write a study to its reserved place, or over an earlier state of it; only the last step makes it a study.

    Trials of half a copy are not written again. Nothing is done where the study is there as it is. Raises StudyError
    as :func:`check_place`.
    """
    there = read_record(storage, source.name)
    check_place(source, there)
    if there is not None and there.is_whole and there.fingerprint == source.fingerprint:
        _check_names(source, there)
        return
    if there is not None and (there.is_whole or not _begins_with(source, there)):
        storage.delete_study(storage.get_study_id_from_name(source.name))
    reserve_copy(source, storage)
    study_id = storage.get_study_id_from_name(source.name)
    n_there, total = storage.get_n_trials(study_id), len(source.trials)
    for trial in source.trials[n_there:]:
        storage.create_new_trial(study_id, template_trial=trial)
        yield Progress(trial.number + 1, total)
    _write_attributes(source, storage, study_id)


def _in_utc(time: datetime) -> str:
    """Return a time as text: Optuna gives all in this machine's zone, and does not say so."""
    return time.astimezone(UTC).isoformat()


def _trial_content(trial: FrozenTrial, written: Callable[[datetime], str]) -> list[Any]:
    """Return all of a trial as JSON keeps it, but for its id."""
    times = [None if time is None else written(time) for time in (trial.datetime_start, trial.datetime_complete)]
    distributions = {name: distribution_to_json(one) for name, one in trial.distributions.items()}
    attrs = [dict(trial.user_attrs), dict(trial.system_attrs)]
    values = [trial.values, sorted(trial.intermediate_values.items())]
    return [trial.number, trial.state.name, *times, dict(trial.params), distributions, *values, *attrs]


def _write_attributes(source: StudyRecord, storage: BaseStorage, study_id: int) -> None:
    written = storage.get_all_trials(study_id, deepcopy=False)
    ids = {trial.number: trial._trial_id for trial in written}
    if _contents(sorted(written, key=lambda trial: trial.number)) != _contents(source.trials):
        raise StudyError(f"the trials of study {source.name!r} are not the same in the target; repeat the command")
    known = storage.get_study_system_attrs(study_id)
    notes = {f"dashboard:{ids[number]}:{key}": note for (number, key), note in source.notes.items()}
    for key, value in {**source.system_attrs, **notes}.items():
        if key not in known or known[key] != value:
            storage.set_study_system_attr(study_id, key, value)
    first = {key: value for key, value in source.user_attrs.items() if key not in _LAST}
    last = {key: source.user_attrs[key] for key in _LAST if key in source.user_attrs}
    for key, value in {**first, COPIED_KEY: source.fingerprint, **last}.items():
        storage.set_study_user_attr(study_id, key, value)


def _check_names(source: StudyRecord, there: StudyRecord) -> None:
    """Raise StudyError where a study is there as it is, but its runs have other names than they were given now."""
    if fingerprint_of(there.content) != fingerprint_of(source.content):
        raise StudyError(
            f"the target has study {source.name!r} as it is, with its runs in another MLflow than --to-tracking-uri; "
            "name that one, or remove the study there first"
        )


def _is_earlier(one: StudyRecord, other: StudyRecord) -> bool:
    """Say whether the trials of one are those of the other, at an earlier time: each is known by when it began."""
    pairs = zip(one.trials, other.trials, strict=False)
    began = all(early.datetime_start in (None, late.datetime_start) for early, late in pairs)
    return began and len(one.trials) <= len(other.trials)


def _begins_with(source: StudyRecord, there: StudyRecord) -> bool:
    return _contents(there.trials) == _contents(source.trials[: len(there.trials)])


def _contents(trials: Sequence[FrozenTrial]) -> list[str]:
    return [fingerprint_of(_trial_content(trial, _in_utc)) for trial in trials]  # of equal ones; NaN is none of itself


def _renamed(trial: FrozenTrial, ids: Mapping[str, str]) -> FrozenTrial:
    return FrozenTrial(
        number=trial.number,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=renamed(trial.user_attrs, ids),
        system_attrs=renamed(trial.system_attrs, ids),
        intermediate_values=trial.intermediate_values,
        trial_id=trial._trial_id,
    )
