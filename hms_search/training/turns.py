"""Turns: the trainings of an experiment's folds, taken through their epochs in the order of the steps."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from hms_search.errors import TrialStopped
from hms_search.training.results import Epoch
from hms_search.training.steps import Steps

Result = TypeVar("Result")
Training = Generator[Epoch, None, Result]
"""A fold's training: it goes on by an epoch whenever it is asked for the next, and ends with its result.

:class:`hms_search.errors.TrialStopped` thrown into it lets it keep what it goes on with another time.
"""


def in_turns(trainings: Sequence[Training[Result]], steps: Steps, on_epoch: Callable[[Epoch], None]) -> list[Result]:
    """Return the results of the trainings, one of each fold, after all steps.

    ``on_epoch`` sees each epoch with its place in the experiment. Where it raises
    :class:`hms_search.errors.TrialStopped`, every training that has begun is told.
    """
    results: list[Result] = []
    try:
        for step in range(len(steps)):
            position, number = steps.place(step)
            epoch = next(trainings[position])
            on_epoch(replace(epoch, position=position, step=step))
            if number + 1 == steps.epochs:
                results.append(_result(trainings[position]))
    except TrialStopped as stop:
        for training in trainings:
            with suppress(TrialStopped):
                training.throw(stop)
        raise
    finally:
        for training in trainings:
            training.close()
    return results


def _result(training: Training[Result]) -> Result:
    try:
        epoch = next(training)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise ValueError(f"expected no epoch after the last, found epoch {epoch.epoch} of fold {epoch.fold}")
