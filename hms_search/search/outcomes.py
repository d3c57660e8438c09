"""What became of a trial, as it is kept with the trial: words that are read without weighing anything."""

from typing import Literal

from optuna.trial import FrozenTrial

Direction = Literal["minimize", "maximize"]
OUTCOME_KEY = "outcome"
CARRIED_KEY = "carried_from"
"""The user attribute that names a carried trial's origin, ``study#number``; it was not run in the study it is in."""
SAME_KEY = "same_as"
"""The user attribute of a trial that was answered from the record: the number of the one that was trained."""


def carried_from(trial: FrozenTrial) -> tuple[str, int] | None:
    """Return the study and number of a trial that was run in an earlier round; None for one of the study it is in."""
    if CARRIED_KEY not in trial.user_attrs:
        return None
    study, number = str(trial.user_attrs[CARRIED_KEY]).rsplit("#", 1)
    return study, int(number)


def is_evidence(trial: FrozenTrial) -> bool:
    """Say whether a trial tells something of its parameters: it was not interrupted and is not going on."""
    return trial.state.is_finished() and trial.user_attrs.get(OUTCOME_KEY) != "interrupted"
