"""Searches that :mod:`search` compares, each a function that spends a ledger's epochs on a problem."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
import optuna
from curve_tables import Curve, Problem
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from hms_search.search.halving import PausingHalving, Resume, Scheduler, Start
from hms_search.search.proposals import CurveSampler
from hms_search.search.samplers import CurveGp

MOST_FREE = 50
"""Where trained configurations cost nothing, a search could go on for ever: it is over when so many cost nothing."""


class Spent(Exception):
    """The budget is spent."""


@dataclass
class Ledger:
    """Counts epochs and keeps the best final value bought so far. An epoch of a configuration is paid for once.

    ``history`` has (epochs spent, best final value) each time the latter fell.
    """

    budget: int
    spent: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)
    trained: dict[Hashable, int] = field(default_factory=dict)

    def buy(self, key: Hashable, curve: Curve, step: int) -> float:
        """Return a configuration's value after ``step`` epochs, and pay for those not yet trained."""
        owed = step - self.trained.get(key, 0)
        if owed > 0:
            if self.spent + owed > self.budget:
                raise Spent
            self.spent += owed
            self.trained[key] = step
        value = float(curve[step - 1])
        if step == len(curve) and (not self.history or value < self.history[-1][1]):
            self.history.append((self.spent, value))
        return value


Search = Callable[[Problem, Ledger, int], None]
"""Searches a problem until the ledger's budget is spent, under a seed."""


def stock(sampler: Callable[[int], BaseSampler], pruner: Callable[[int], BasePruner] | None) -> Search:
    """Return a search by Optuna's own sampler and pruner, a new training for each trial."""

    def search(problem: Problem, ledger: Ledger, seed: int) -> None:
        study = optuna.create_study(
            study_name=f"{problem.name} {seed}",  # Hyperband draws brackets by it
            sampler=sampler(seed),
            pruner=pruner(problem.total) if pruner is not None else optuna.pruners.NopPruner(),
        )
        free = 0
        while free < MOST_FREE:
            spent = ledger.spent
            trial = study.ask(dict(problem.space))
            study.tell(trial, **_outcome(trial, problem, ledger, prunes=pruner is not None))
            free = free + 1 if ledger.spent == spent else 0

    return search


def _outcome(trial: optuna.Trial, problem: Problem, ledger: Ledger, *, prunes: bool) -> dict[str, object]:
    key, curve = problem.curve(trial.params)
    for step in range(1, problem.total + 1):
        value = ledger.buy(key, curve, step)
        if np.isnan(value):
            return {"state": TrialState.FAIL}
        if prunes:
            trial.report(value, step)
            if step < problem.total and trial.should_prune():
                return {"state": TrialState.PRUNED}
    return {"values": float(curve[-1])}


def pausing(proposer: CurveGp, pruner: PausingHalving) -> Search:
    """Return this project's search: trials that pause and go on, proposed by what their curves will come to."""

    def search(problem: Problem, ledger: Ledger, seed: int) -> None:
        settings = proposer.model_dump(exclude={"name"})
        sampler = CurveSampler(problem.space, epochs=problem.total, seed=seed, **settings)
        study = optuna.create_study(sampler=sampler, pruner=optuna.pruners.NopPruner())
        scheduler = Scheduler(pruner, problem.total, "minimize")
        trainings: dict[int, Training] = {}
        free = 0
        while free < MOST_FREE:
            spent, turn = ledger.spent, scheduler.next(())
            assert turn is not None
            if isinstance(turn, Start):
                trial = study.ask(dict(problem.space))
                trainings[trial.number] = Training(trial, *problem.curve(trial.params))
            training = trainings[turn.number if isinstance(turn, Resume) else trial.number]
            straight = scheduler.is_straight(training.trial.number)
            train(training, problem.total if straight else turn.until, ledger, scheduler)
            free = free + 1 if ledger.spent == spent else 0

    return search


@dataclass
class Training:
    """A trial with the curve it will follow, and how far it has."""

    trial: optuna.Trial
    key: Hashable
    curve: Curve
    done: int = 0


def train(training: Training, until: int, ledger: Ledger, scheduler: Scheduler) -> None:
    """Go on with a trial until it pauses, ends or diverges, and report."""
    trial, curve = training.trial, training.curve
    for step in range(training.done + 1, until + 1):
        value = ledger.buy(training.key, curve, step)
        if np.isnan(value):
            scheduler.failed(trial.number)
            trial.study.tell(trial, state=TrialState.FAIL)
            return
        trial.report(value, step - 1)
        scheduler.reached(trial.number, step, value)
    training.done = until
    if until == len(curve):
        trial.study.tell(trial, float(curve[-1]))


def random(seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


def median(total: int) -> BasePruner:  # noqa: ARG001
    return optuna.pruners.MedianPruner()


def halving(total: int) -> BasePruner:  # noqa: ARG001
    return optuna.pruners.SuccessiveHalvingPruner()


def hyperband(total: int) -> BasePruner:
    return optuna.pruners.HyperbandPruner(max_resource=total)


DEFAULT = "curve GP + pausing halving"
METHODS: Mapping[str, Search] = {
    "random": stock(random, None),
    "TPE": stock(tpe, None),
    "GP": stock(gp, None),
    "TPE + median": stock(tpe, median),
    "TPE + Hyperband": stock(tpe, hyperband),
    "TPE + successive halving": stock(tpe, halving),
    "random + successive halving": stock(random, halving),
    DEFAULT: pausing(CurveGp(), PausingHalving()),
}
