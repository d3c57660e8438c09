"""What may go of a working directory, and why: checkpoints of ended trials, never what one still goes on with.

A trial's folder is that of its experiment's first trial (:func:`hms_search.search.asking.origin_of`), so it is kept
while any trial that ran the same experiment again is queued, runs or waits. It names that experiment: one that no trial
of a storage ran is of a study of the same name in another storage.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.data.atomic import TEMPORARY
from hms_search.data.disk import bytes_in
from hms_search.errors import ConfigError, StudyError
from hms_search.models import resolve_weights
from hms_search.search.asking import WEIGHTS_KEY, trial_seed
from hms_search.search.lineage import FIRST_KEY
from hms_search.search.locks import locked
from hms_search.search.outcomes import OUTCOME_KEY, carried_from, has_paused, origin_of, place_of
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONFIG_KEY, CONTRACT_KEY
from hms_search.search.trial import experiment_name

_FOLDER = re.compile(r"trial(\d+)(?:-([0-9a-f]{12}))?")
"""A trial's folder, with the name of its experiment but where an earlier version made it."""
IN_USE = "a session is running"


@dataclass(frozen=True)
class Held:
    """A file or folder of a working directory: whether it may go, why or why not, and how large it is."""

    path: Path
    may_go: bool
    reason: str
    n_bytes: int

    @classmethod
    def at(cls, path: Path, *, may_go: bool, reason: str) -> "Held":
        """Return one with the size that it has."""
        return cls(path, may_go, reason, bytes_in(path))


def checkpoints(storage: optuna.storages.BaseStorage, places: Places, study: str | None) -> Iterator[Held]:
    """Give the checkpoints of a study and of its rounds, or of all studies.

    The study's lock is held while one is given: what may go is removed before the next is asked for. Where a session
    holds the lock, all of the study's are kept. Raises StudyError where there is no study of that name.
    """
    known = {one.study_name: one for one in storage.get_all_studies()}
    if study is not None and study not in known:
        raise StudyError(f"no study {study!r} in this storage; hms-search ls lists those that are")
    kept_in = places.trials("x").parent
    for folder in sorted(path for path in kept_in.iterdir() if path.is_dir()) if kept_in.is_dir() else ():
        summary = known.get(folder.name)
        first = folder.name if summary is None else str(summary.user_attrs.get(FIRST_KEY, folder.name))
        if study not in (None, folder.name, first):
            continue
        if summary is None:
            yield Held.at(folder, may_go=False, reason="this storage has no study of that name; another --storage may")
            continue
        with locked(places.lock(first), places.lock(folder.name)) as free:
            if free:
                opened = optuna.load_study(study_name=folder.name, storage=storage)
                yield from trial_folders(opened.get_trials(deepcopy=False), folder, experiments_of(opened))
            else:
                yield Held.at(folder, may_go=False, reason=IN_USE)


def experiments_of(study: optuna.Study) -> Callable[[FrozenTrial], str]:
    """Return what names the experiment of a study's trial, as its folder does; empty where that is not known."""
    kept = study.user_attrs
    if not {CONFIG_KEY, CONTRACT_KEY} <= kept.keys():
        return lambda _: ""
    data, settled = kept[CONTRACT_KEY]["data"], kept.get(WEIGHTS_KEY, {})
    configured = cache(lambda: StudyConfig.model_validate(kept[CONFIG_KEY]))  # not read where no folder asks for it

    def name(trial: FrozenTrial) -> str:
        config = configured()
        try:
            experiment = config.space.suggest(trial)
        except (ConfigError, ValueError):  # it has no parameters yet, or none that can be run
            return ""
        experiment = experiment.model_copy(update={"model": resolve_weights(experiment.model, settled)})
        seed = trial_seed(config.seed, place_of(trial))
        return experiment_name(experiment, seed=seed, data=data, objective=config.objective)

    return name


def trial_folders(
    trials: Sequence[FrozenTrial], work: Path, experiment_of: Callable[[FrozenTrial], str] = lambda _: ""
) -> Iterator[Held]:
    """Give the folders of a study's trials under ``work``, while nobody runs it."""
    for folder in sorted(work.iterdir(), key=lambda path: (len(path.name), path.name)):
        found = _FOLDER.fullmatch(folder.name)
        if found is None:
            continue
        number, experiment = int(found[1]), found[2]
        attempts = [trial for trial in trials if carried_from(trial) is None and origin_of(trial) == number]
        if attempts and experiment is not None and experiment not in map(experiment_of, attempts):
            may_go, reason = False, f"trial {number} of this storage is another; one of another --storage may be this"
        else:
            may_go, reason = _verdict(number, attempts)
        yield Held.at(folder, may_go=may_go, reason=reason)
        for partial in () if may_go else sorted(folder.rglob(f".*{TEMPORARY}")):
            yield Held.at(partial, may_go=True, reason="half a file, left by a process that died")


def _verdict(number: int, attempts: Sequence[FrozenTrial]) -> tuple[bool, str]:
    """Return whether the folder of an experiment may go that these trials ran, and why."""
    for trial in attempts:
        if trial.state == TrialState.WAITING:
            return False, f"trial {number} is queued to go on"
        if trial.state == TrialState.RUNNING:
            return False, f"trial {trial.number} {'is paused' if has_paused(trial) else 'runs, or its session died'}"
    if not attempts:
        return False, f"the study has no trial {number}"
    last = attempts[-1]
    again = "" if last.number == number else f", which ran trial {number} again,"
    outcome = last.user_attrs.get(OUTCOME_KEY, "of an unknown outcome")
    return outcome in ("complete", "pruned", "failed"), f"trial {last.number}{again} is {outcome}"
