"""What is learned: the classes, what an experiment's value measures, and which way is better.

The loss is the same for all: KL(target || softmax of the raw logits), which for targets of one class is cross-entropy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from hms_search.data.fold_words import Level
from hms_search.data.labels import CLASSES, SEIZURE_TYPES, TaskName
from hms_search.training.f1 import f1_scores, pooled_f1
from hms_search.training.metrics import STRATA, Stratum, pooled_scores, scores


@dataclass(frozen=True)
class Task:
    """One thing to learn; :data:`TASKS` has them all.

    Attributes
    ----------
    classes
        Their names, in the order of targets and logits.
    measure, symbol, unit
        What a value is: in words, in a table's heading, and its unit with a blank before it, if any.
    direction
        Which way a value is better, in Optuna's words.
    strata
        The rows an objective may refer to, as vote counts tell them apart.
    metric
        The name among the metrics of what a value is, with ``{stratum}`` in it where there are several strata.
    interval
        The names of the ends of its interval among the metrics of all out-of-fold rows.
    shown
        The metrics that are logged for every epoch and kept with every trial.
    levels
        The names of the value on folds of files and on folds of patients, by level, where both are always found; or
        none.
    """

    name: TaskName
    classes: tuple[str, ...]
    measure: str
    symbol: str
    unit: str
    direction: Literal["minimize", "maximize"]
    strata: tuple[Stratum, ...]
    metric: str
    interval: tuple[str, str]
    shown: tuple[str, ...]
    levels: Mapping[Level, str]

    @property
    def kept(self) -> tuple[str, ...]:
        """The metrics of all out-of-fold rows that a study keeps with a trial."""
        return (*self.shown, *self.interval, *self.levels.values())

    def scores(
        self,
        target: Float[np.ndarray, "rows classes"],
        probability: Float[np.ndarray, "rows classes"],
        high: Bool[np.ndarray, " rows"],
    ) -> dict[str, float]:
        """Return all metrics of predictions, by name."""
        if self.name == "hms":
            return scores(target, probability, high)
        return f1_scores(target, probability, self.classes)

    def pooled_scores(
        self,
        target: Float[np.ndarray, "rows classes"],
        probability: Float[np.ndarray, "rows classes"],
        high: Bool[np.ndarray, " rows"],
        patients: Int[np.ndarray, " rows"],
        *,
        objective: Stratum,
        seed: int,
    ) -> dict[str, float]:
        """Return :meth:`scores` of out-of-fold rows, with the interval over patients of the value's metric."""
        if self.name == "hms":
            return pooled_scores(target, probability, high, patients, objective=objective, seed=seed)
        return pooled_f1(target, probability, patients, self.classes, seed=seed)

    def value(self, metrics: Mapping[str, float], objective: Stratum) -> float:
        """Return what an epoch, and so a fold, is judged by."""
        return metrics[self.metric.format(stratum=objective)]

    def as_loss(self, value: float) -> float:
        """Return a value as a number that is 0 or more and better when smaller: itself, or 1 - F1."""
        return value if self.direction == "minimize" else 1 - value


HMS = Task(
    name="hms",
    classes=CLASSES,
    measure="KL divergence",
    symbol="KL",
    unit=" (nats)",
    direction="minimize",
    strata=STRATA,
    metric="kl_{stratum}",
    interval=("kl_interval_low", "kl_interval_high"),
    shown=("kl_all", "kl_high", "kl_low", "accuracy"),
    levels={},
)
"""Six classes of brain activity from expert votes: the competition's KL divergence."""

SEIZURES = Task(
    name="seizure_types",
    classes=SEIZURE_TYPES,
    measure="weighted F1",
    symbol="F1",
    unit="",
    direction="maximize",
    strata=("all",),
    metric="weighted_f1",
    interval=("weighted_f1_interval_low", "weighted_f1_interval_high"),
    shown=("weighted_f1", "accuracy", "cross_entropy"),
    levels={"file": "weighted_f1_by_file", "patient": "weighted_f1_by_patient"},
)
"""Eight types of seizures: F1 weighted by the types' files, the mean over folds.

Folds of files, as published, have a patient's files on both sides and flatter: the score on as many folds of patients
always stands beside."""

TASKS: Mapping[TaskName, Task] = {task.name: task for task in (HMS, SEIZURES)}
