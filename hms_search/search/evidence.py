"""Evidence: what finished trials say, as losses that compare, and how far two must differ to be told apart."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import f as f_distribution

from hms_search.search.outcomes import CARRIED_KEY, SAME_KEY, Direction, origin_of
from hms_search.search.outcomes import OUTCOME_KEY as OUTCOME_KEY
from hms_search.search.outcomes import carried_from as carried_from
from hms_search.search.outcomes import is_evidence as is_evidence

FOLDS_KEY = "folds"

_FEWEST_FOR_NOISE = 4
_TOLD_APART = 1.645 * math.sqrt(2)
"""Two trials differ beyond noise (one-sided, 5 %) from this many standard deviations of one trial on."""


@dataclass(frozen=True)
class Scored:
    """A finished trial: its name, its parameters and its loss; infinite where it was pruned or failed.

    A pruned trial has no value on the same footing as the others, but it is known to be worse than what was kept.
    """

    name: str
    params: Mapping[str, Any]
    loss: float

    @property
    def complete(self) -> bool:
        """Whether the trial ran to its end."""
        return math.isfinite(self.loss)


@dataclass(frozen=True)
class Evidence:
    """Finished trials, best first, and what their folds say of chance; None where they say nothing.

    Attributes
    ----------
    noise
        The standard deviation of a trial's value by chance.
    p_equal
        The p-value of all completed trials being equally good.
    """

    trials: tuple[Scored, ...]
    noise: float | None
    p_equal: float | None

    @property
    def best(self) -> Scored | None:
        """The trial with the smallest loss; None where none completed."""
        return self.trials[0] if self.trials and self.trials[0].complete else None

    @property
    def completed(self) -> tuple[Scored, ...]:
        """The trials that have a value."""
        return tuple(trial for trial in self.trials if trial.complete)

    @property
    def told_apart(self) -> float:
        """By how much two trials must differ to be told apart; 0 where the noise is unknown."""
        return _TOLD_APART * self.noise if self.noise is not None else 0.0

    def elite(self, quantile: float) -> tuple[Scored, ...]:
        """Return the best share of all trials, and what cannot be told from the best; completed ones only."""
        if self.best is None:
            return ()
        count = math.ceil(quantile * len(self.trials))
        limit = self.best.loss + self.told_apart
        return tuple(trial for place, trial in enumerate(self.completed) if place < count or trial.loss <= limit)


def evidence_of(trials: Sequence[FrozenTrial], direction: Direction = "minimize") -> Evidence:
    """Return what the trials say that were completed, pruned or failed by themselves.

    What was answered from the record says nothing that its twin does not.
    """
    finished = [trial for trial in trials if is_evidence(trial) and SAME_KEY not in trial.user_attrs]
    finished.sort(key=origin_of)  # the numbers themselves depend on what was interrupted
    scored = [Scored(_name(trial), trial.params, loss_of(trial, direction)) for trial in finished]
    ranked = tuple(sorted(scored, key=lambda trial: trial.loss))
    values = fold_values(finished)
    return Evidence(ranked, noise_of(finished, direction), p_equal(values) if _enough(values) else None)


def loss_of(trial: FrozenTrial, direction: Direction) -> float:
    """Return a trial's value (of several aims the first), its sign turned where more is better.

    Infinity where it did not complete, or exceeds a constraint.
    """
    if trial.state != TrialState.COMPLETE or any(excess > 0 for excess in trial.constraints.values()):
        return math.inf
    value: float = trial.values[0]
    return value if direction == "minimize" else -value


def noise_of(trials: Sequence[FrozenTrial], direction: Direction = "minimize") -> float | None:
    """Return the noise of the better half of the completed trials, from their folds; None where they are too few.

    The worse half is left out: trials that barely learn differ wildly between folds.
    """
    completed = [trial for trial in trials if trial.state == TrialState.COMPLETE and FOLDS_KEY in trial.user_attrs]
    ranked = sorted(completed, key=lambda trial: loss_of(trial, direction))
    values = fold_values(ranked[: max(_FEWEST_FOR_NOISE, len(ranked) // 2)])
    return fold_noise(values) if _enough(values) else None


def fold_values(trials: Sequence[FrozenTrial]) -> Float[np.ndarray, "trials folds"]:
    """Return the values of each fold of the completed trials that ran as many folds as the first of them."""
    rows = [
        trial.user_attrs[FOLDS_KEY]
        for trial in trials
        if trial.state == TrialState.COMPLETE and FOLDS_KEY in trial.user_attrs
    ]
    width = len(rows[0]) if rows else 0
    rows = [row for row in rows if len(row) == width]
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)


def fold_noise(values: Float[np.ndarray, "trials folds"]) -> float:
    """Return the standard deviation of a trial's mean over folds that neither trial nor fold explains.

    It is the residual of a two-way analysis of variance (trial + fold): a fold's difficulty is the same for all trials
    and cancels in comparisons. What is left is the seed's and the samples' chance.
    """
    return math.sqrt(_residual_variance(values) / len(values[0]))


def p_equal(values: Float[np.ndarray, "trials folds"]) -> float:
    """Return the p-value of all trials being equally good: the F test of a two-way analysis of variance."""
    n_trials, n_folds = values.shape
    between, residual = n_folds * float(values.mean(axis=1).var(ddof=1)), _residual_variance(values)
    if residual == 0:
        return float(between == 0)
    return float(f_distribution.sf(between / residual, n_trials - 1, (n_trials - 1) * (n_folds - 1)))


def _name(trial: FrozenTrial) -> str:
    """Return a trial's number, or where it came from."""
    return str(trial.user_attrs.get(CARRIED_KEY, trial.number))


def _residual_variance(values: Float[np.ndarray, "trials folds"]) -> float:
    n_trials, n_folds = values.shape
    centred = values - values.mean(axis=1, keepdims=True)
    residual = centred - centred.mean(axis=0, keepdims=True)
    freedom = int((n_trials - 1) * (n_folds - 1))
    return float((residual**2).sum()) / freedom


def _enough(values: Float[np.ndarray, "trials folds"]) -> bool:
    """Say whether there are trials and folds enough to tell chance from what trials and folds explain."""
    return len(values) >= _FEWEST_FOR_NOISE and len(values[0]) > 1
