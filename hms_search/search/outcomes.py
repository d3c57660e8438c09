"""What became of a trial, as it is kept with the trial: words that are read without weighing anything."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

Direction = Literal["minimize", "maximize"]
OUTCOME_KEY = "outcome"
CARRIED_KEY = "carried_from"
"""The user attribute that names a carried trial's origin, ``study#number``; it was not run in the study it is in."""
PARAMS_KEY = "params"
"""The user attribute with all parameters of a carried trial as it ran, those that are frozen now among them."""
RETRY_KEY = "retry_of"
"""The user attribute of a trial that is run again: the number of the first one of its study that ran its experiment."""
SAME_KEY = "same_as"
"""The user attribute of a trial that was answered from the record: the number of the one that was trained."""
PAUSED_KEY, PAUSED_AT_KEY = "paused_seconds", "paused_at"
"""The user attributes of a trial that was paused: the seconds it had been trained, and when that was (ISO 8601, in UTC;
without a zone it is local time)."""

PLACE_KEY = "hms_search:place"
"""The system attribute with a trial's place, where that is not the number of :func:`origin_of`."""


def carried_from(trial: FrozenTrial) -> tuple[str, int] | None:
    """Return the study and number of a trial that was run in an earlier round; None for one of the study it is in."""
    if CARRIED_KEY not in trial.user_attrs:
        return None
    study, number = str(trial.user_attrs[CARRIED_KEY]).rsplit("#", 1)
    return study, int(number)


def is_evidence(trial: FrozenTrial) -> bool:
    """Say whether a trial tells something of its parameters: it was not interrupted and is not going on."""
    return trial.state.is_finished() and trial.user_attrs.get(OUTCOME_KEY) != "interrupted"


def has_paused(trial: FrozenTrial) -> bool:
    """Say whether a trial came to a rung: it waits there, or trains again."""
    return trial.state == TrialState.RUNNING and PAUSED_KEY in trial.user_attrs


def is_baseline(trial: optuna.Trial | FrozenTrial) -> bool:
    """Say whether a trial is of the space's own base, which is never stopped."""
    return bool(trial.user_attrs.get("baseline"))


def origin_of(trial: optuna.Trial | FrozenTrial) -> int:
    """Return the number of the first trial that ran a trial's experiment: its own but where it is run again."""
    return int(trial.user_attrs.get(RETRY_KEY, trial.number))


def place_of(trial: FrozenTrial) -> int:
    """Return the place of a trial that was begun, as :class:`hms_search.search.draws.Places` counts it."""
    return int(trial.system_attrs.get(PLACE_KEY, origin_of(trial)))


def epochs_trained(trials: Iterable[FrozenTrial]) -> Mapping[int, int]:
    """Return how many epochs each trial that was trained in this study cost, by number.

    What was answered from the record was not trained, and a trial that was run again went on where it had come to.
    """
    reached, found = defaultdict[int, int](int), {}
    for trial in trials:
        if not trial.user_attrs.keys() & {CARRIED_KEY, SAME_KEY}:
            origin = origin_of(trial)
            before, reached[origin] = reached[origin], max(reached[origin], len(trial.intermediate_values))
            found[trial.number] = reached[origin] - before
    return found
