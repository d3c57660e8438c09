"""Which trials of a large study its report draws and lists: ten thousand lines show nothing."""

from collections.abc import Collection, Container, Sequence
from typing import TypeVar

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.report import StudyReport, TrialRow

_Row = TypeVar("_Row")

DRAWN = 300
"""How many trials a plot shows."""
LISTED = 100
"""How many trials a table shows."""
_BEST_DRAWN = 100
CHOSEN = f"the best {_BEST_DRAWN}, the baseline, each that was the best so far, and others evenly over the study"
"""Which are drawn, in words."""


class Excerpt(optuna.Study):
    """A study as if it had some of its trials only, under their own numbers: for what Optuna plots and computes.

    They are as they were when it was made, and nobody may change them: Optuna asks for them a dozen times a report.
    """

    def __init__(self, study: optuna.Study, numbers: Collection[int]) -> None:
        super().__init__(study.study_name, study._storage)
        chosen = frozenset(numbers)
        self._chosen = [trial for trial in study.get_trials(deepcopy=False) if trial.number in chosen]

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [trial for trial in self._chosen if states is None or trial.state in states]


def drawn(report: StudyReport, rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Return which of some of a study's trials, in the order they were asked, are drawn; all where they are few.

    The best 100, those that were the best so far, the baseline, and others evenly over the study.
    """
    if len(rows) <= DRAWN:
        return list(rows)
    numbers = {row.number for row in rows}
    best = [row.number for row in report.best_first if row.number in numbers][:_BEST_DRAWN]
    kept = {*best, *_evenly(_records(report, rows), _BEST_DRAWN)}
    kept |= {row.number for row in rows if row.baseline}
    kept |= set(_evenly([row.number for row in rows if row.number not in kept], DRAWN - len(kept)))
    return [row for row in rows if row.number in kept]


def listed(rows: Sequence[_Row], name: str, *, last: bool = False) -> tuple[Sequence[_Row], str]:
    """Return the first or last rows of a table of trials, and what to say where there are more."""
    if len(rows) <= LISTED:
        return rows, ""
    chosen, which = (rows[-LISTED:], "last") if last else (rows[:LISTED], "first")
    where = f"all are in trials.csv of the study's MLflow run, and shown by: hms-search show {name} --top 0"
    return chosen, f" The {which} {LISTED} of {len(rows):,}; {where}."


def _records(report: StudyReport, rows: Sequence[TrialRow]) -> list[int]:
    """Return the trials that were better than all before them."""
    found, least = [], np.inf
    for row in rows:
        if row.value is not None and (loss := report.task.as_loss(row.value)) < least:
            found.append(row.number)
            least = loss
    return found


def _evenly(numbers: Sequence[int], count: int) -> list[int]:
    if len(numbers) <= count:
        return list(numbers)
    return [numbers[place] for place in np.linspace(0, len(numbers) - 1, count).round().astype(int)]
