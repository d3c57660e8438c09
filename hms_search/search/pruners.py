"""Pruners that see one fold at a time: Optuna's own, each run over the curves of a single fold.

Folds differ in difficulty, so a trial in its second fold must be compared with other trials' second folds. Optuna's
median pruner compares the *best* value a trial has reported so far with the others at the same step: after an easier
first fold it never prunes in the second. Here each fold has a shadow study in memory, holding that fold's curves as
epochs 1, 2, 3 ..., and the stock pruner judges inside it. Where the folds take turns there is one shadow study, of the
mean over folds at equal epochs: their difficulty is in every trial's mean alike.
"""

from typing import Annotated, Literal, Self

import optuna
from optuna.pruners import BasePruner
from optuna.trial import TrialState
from pydantic import Field, model_validator

from hms_search.component import Component
from hms_search.search.experimental import knowingly
from hms_search.search.fold_curves import FoldCurves
from hms_search.search.halving import PausingHalving
from hms_search.training.steps import Steps


class Sparing(Component):
    """What all pruners keep to, so that no search can lose every trial unnoticed.

    ``floor`` is the least share of trials that reach the end; of those that would be stopped, the share ``audit``,
    drawn by the trial's place, goes on nevertheless, so that it is known how often stopping would have been wrong. One
    that is run again has the lot that it had.
    """

    floor: float = Field(default=0.1, ge=0, le=1)
    audit: float = Field(default=0.05, ge=0, le=1)


class Median(Sparing):
    """Stop a trial whose best epoch of the fold is worse than the median of the others at the same epoch."""

    name: Literal["median"] = "median"
    n_startup_trials: int = Field(default=5, ge=0)
    n_warmup_epochs: int = Field(default=0, ge=0)

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.MedianPruner(self.n_startup_trials, n_warmup_steps=self.n_warmup_epochs + 1)


class Percentile(Sparing):
    """As ``median``, with another share of the trials that are kept."""

    name: Literal["percentile"] = "percentile"
    percentile: float = Field(default=25.0, gt=0, lt=100)
    n_startup_trials: int = Field(default=5, ge=0)
    n_warmup_epochs: int = Field(default=0, ge=0)

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.PercentilePruner(
            self.percentile, self.n_startup_trials, n_warmup_steps=self.n_warmup_epochs + 1
        )


class SuccessiveHalving(Sparing):
    """Keep the best 1/``reduction_factor`` at epochs that grow by that factor, asynchronously."""

    name: Literal["successive_halving"] = "successive_halving"
    min_epochs: int = Field(default=1, ge=1)
    reduction_factor: int = Field(default=3, ge=2)

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=self.min_epochs, reduction_factor=self.reduction_factor
        )


class Hyperband(Sparing):
    """Several successive halvings side by side, which start at different epochs."""

    name: Literal["hyperband"] = "hyperband"
    min_epochs: int = Field(default=1, ge=1)
    reduction_factor: int = Field(default=3, ge=2)

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.HyperbandPruner(
            min_resource=min(self.min_epochs, epochs), max_resource=epochs, reduction_factor=self.reduction_factor
        )


class Threshold(Sparing):
    """Stop a trial whose value leaves fixed bounds. The report's last round used ``upper: 0.57`` and lost all 40."""

    name: Literal["threshold"] = "threshold"
    lower: float | None = None
    upper: float | None = None
    n_warmup_epochs: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("threshold needs lower or upper, found neither")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower {self.lower} is above upper {self.upper}; swap them")
        return self

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.ThresholdPruner(self.lower, self.upper, n_warmup_steps=self.n_warmup_epochs + 1)


class NoPruner(Sparing):
    """Let every trial run to its end."""

    name: Literal["none"] = "none"

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        return optuna.pruners.NopPruner()


_Wrappable = Annotated[
    Median | Percentile | SuccessiveHalving | Hyperband | Threshold | NoPruner, Field(discriminator="name")
]


class Patient(Sparing):
    """Wait until the fold's curve has not improved for ``patience`` epochs, then ask ``wrapped`` (none: stop)."""

    name: Literal["patient"] = "patient"
    patience: int = Field(default=2, ge=0)
    min_delta: float = Field(default=0.0, ge=0)
    wrapped: _Wrappable | None = None

    def build(self, epochs: int) -> BasePruner:
        """Return Optuna's pruner for curves of ``epochs`` epochs."""
        wrapped = self.wrapped.build(epochs) if self.wrapped is not None else None
        with knowingly():
            return optuna.pruners.PatientPruner(wrapped, self.patience, self.min_delta)


class Racing(Sparing):
    """Stop a trial that is worse than the best beyond chance, in pairs on the same recordings, over patients.

    Nothing is stopped before ``n_startup_trials`` were finished, nor in the first ``grace`` epochs. ``alpha`` is more
    than the chance to stop a trial that would end as good as the best: where curves do not cross, a tenth of it, since
    the epochs of a trial resemble each other and catching up is allowed for. More of it is spent on early epochs, where
    stopping saves most: the n-th that is looked at has a share of 1/n. See :mod:`hms_search.search.racing`.
    """

    name: Literal["racing"] = "racing"
    n_startup_trials: int = Field(default=1, ge=1)
    grace: int = Field(default=0, ge=0)
    alpha: float = Field(default=0.2, gt=0, lt=1)

    def alpha_at(self, step: int, n_steps: int) -> float:
        """Return what of ``alpha`` is spent at a step, of ``n_steps``; together they are ``alpha``."""
        looks = n_steps - self.grace
        if step < self.grace:
            return 0.0
        return self.alpha / (step - self.grace + 1) / sum(1 / look for look in range(1, looks + 1))


StockPruner = Median | Percentile | SuccessiveHalving | Hyperband | Threshold | Patient | NoPruner
Pruner = Annotated[StockPruner | Racing | PausingHalving, Field(discriminator="name")]
"""What may stop a trial, or let it wait: see :mod:`hms_search.search.policy`."""


class FoldJudge:
    """Decides after each epoch whether a trial goes on, comparing it within the current fold only.

    Where the folds take turns it compares their mean instead, whenever all have come equally far.

    Parameters
    ----------
    pruner
        The stock pruner's configuration.
    steps
        The epochs of a trial's folds.
    study_name
        Hyperband draws a trial's bracket from it.
    direction
        Which way values are better.
    """

    def __init__(
        self,
        pruner: StockPruner,
        *,
        steps: Steps,
        study_name: str,
        direction: Literal["minimize", "maximize"] = "minimize",
    ) -> None:
        self._steps = steps
        self._kept = [FoldCurves() for _ in range(steps.n_curves)]
        self._shadows = [
            optuna.create_study(
                study_name=f"{study_name}/fold{position}",
                direction=direction,
                storage=kept,
                pruner=pruner.build(steps.epochs),
                sampler=optuna.samplers.RandomSampler(seed=0),
            )
            for position, kept in enumerate(self._kept)
        ]
        self._values: dict[int, dict[int, float]] = {}
        self._curves: dict[int, dict[int, optuna.Trial]] = {}
        """The curves of the trials that have not ended, by number and position."""
        stock = pruner.wrapped if isinstance(pruner, Patient) else pruner
        self._keeps_rungs = isinstance(
            stock, SuccessiveHalving | Hyperband
        )  # who is on which rung they learn by judging

    def epoch_ended(self, number: int, step: int, value: float, losses: object = None) -> bool:
        """Take in one epoch of trial ``number``; return whether the pruner would stop it."""
        return self._take_in(number, step, value, judges=True)

    def record(self, number: int, step: int, value: float) -> None:
        """Take in one epoch that was judged before: to judge 10,000 recorded trials once more takes a minute."""
        self._take_in(number, step, value, judges=self._keeps_rungs)

    def _take_in(self, number: int, step: int, value: float, *, judges: bool) -> bool:
        values = self._values.setdefault(number, {})
        values[step] = value
        place = self._steps.curve_at(step)
        if place is None:
            return False
        shadow, point = self._shadows[place.position], self._steps.point(values, step)
        curves = self._curves.setdefault(number, {})
        if place.position not in curves:
            curves[place.position] = shadow.ask()
        curve = curves[place.position]
        curve.report(point, place.epoch + 1)
        decision = judges and curve.should_prune()
        if place.epoch + 1 == self._steps.epochs:  # a whole curve of this fold, whatever the trial does in the next
            shadow.tell(curve, point)
        return decision

    def trial_ended(self, number: int, outcome: str = "complete") -> None:
        """Close what is open of trial ``number``: a curve cut short is no evidence about the fold's end.

        One that was interrupted is forgotten: when it is run again, under another number, its curves are told again.
        """
        self._values.pop(number, None)
        for position, curve in self._curves.pop(number, {}).items():
            kept = self._kept[position]
            if outcome == "interrupted":
                kept.forget(curve._trial_id)
            elif not kept.get_trial(curve._trial_id).state.is_finished():
                state = TrialState.FAIL if outcome == "failed" else TrialState.PRUNED
                self._shadows[position].tell(curve, state=state)
