"""What the sections of a report read of a study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import optuna
from optuna.trial import FrozenTrial

from hms_search.errors import TrackingError
from hms_search.search.outcomes import epochs_trained
from hms_search.search.report import StudyReport, TrialRow
from hms_search.search.report_page.excerpt import CHOSEN, Excerpt, drawn
from hms_search.search.report_page.page import Words
from hms_search.tracking import RunReader
from hms_search.training.steps import Steps

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
ENDED = ("complete", "pruned", "failed")
"""The outcomes that count towards a study's total."""


@dataclass(frozen=True)
class StudyFacts:
    """A study and all that its sections read; ``reader`` is None where there is no tracking store."""

    study: optuna.Study
    report: StudyReport
    config: Mapping[str, Any]
    trials: Sequence[FrozenTrial]
    reader: RunReader | None

    @property
    def epochs(self) -> int:
        """Epochs per fold."""
        return int(self.config["space"]["base"]["training"]["epochs"])

    @property
    def folds(self) -> list[int]:
        """The folds in use, by position."""
        return list(self.config["folds"]["use"] or range(self.config["folds"]["n_folds"]))

    @property
    def steps(self) -> Steps:
        """The epochs of a trial's folds."""
        return Steps(len(self.folds), self.epochs, "interleaved" if self.schedule == "interleaved" else "sequential")

    @property
    def schedule(self) -> str:
        """The name of the study's schedule; sequential where it is older than schedules."""
        return str(self.config.get("schedule", {}).get("name", "sequential"))

    def excerpt(self, rows: Sequence[TrialRow]) -> tuple[optuna.Study, list[Words]]:
        """Return the study with those of some trials that are drawn, and what to say where these are not all."""
        chosen, said = self.drawn(rows)
        return Excerpt(self.study, [row.number for row in chosen]), said

    def drawn(self, rows: Sequence[TrialRow]) -> tuple[list[TrialRow], list[Words]]:
        """Return which of some trials are drawn, and what to say where these are not all."""
        chosen = drawn(self.report, rows)
        if len(chosen) == len(rows):
            return chosen, []
        return chosen, [Words(f"Drawn are {len(chosen)} of {len(rows):,} trials: {CHOSEN}.")]

    def epochs_run(self, row: TrialRow) -> int:
        """Return how many epochs a trial validated."""
        return len(self.trials[row.number].intermediate_values)

    @cached_property
    def trained(self) -> Mapping[int, int]:
        """How many epochs each trial that was trained in this study cost, by number."""
        return epochs_trained(self.trials)

    def with_outcome(self, outcome: str) -> list[TrialRow]:
        """Return the trials that ended so."""
        return [row for row in self.report.rows if row.outcome == outcome]

    def study_tags(self) -> Mapping[str, str]:
        """Return the tags of the study's own run, none where it cannot be read."""
        reader = self.reader
        return {} if reader is None else _or_nothing(lambda: reader.study_run(self.report.name).tags)

    def trial_tags(self, row: TrialRow) -> Mapping[str, str]:
        """Return the tags of a trial's run, none where it cannot be read."""
        reader = self.reader
        return {} if reader is None or not row.run_id else _or_nothing(lambda: reader.record(row.run_id).tags)

    def training_loss(self, row: TrialRow, fold: int) -> Mapping[int, float]:
        """Return a trial's training loss by epoch from 1, none where its run cannot be read."""
        reader = self.reader
        if reader is None or not row.run_id:
            return {}
        metric = f"train_loss/fold{fold}"
        return _or_nothing(lambda: {step + 1: value for step, value in reader.curve(row.run_id, metric)})


def _or_nothing(read: Callable[[], Mapping[_Key, _Value]]) -> Mapping[_Key, _Value]:
    """Return what is read, nothing where the store does not have it: a report is made of what there is."""
    try:
        return read()
    except TrackingError:
        return {}
