"""How far two scores rank the same trials alike."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata, spearmanr

_NORMAL_95, _RESAMPLES = 1.96, 200
_SPEARMAN_VARIANCE = 1.06
"""Fieller, Hartley & Pearson 1957: the variance of Fisher's z of a rank correlation is 1.06 / (n - 3)."""


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation with its 95 % interval."""

    correlation: float
    low: float
    high: float
    trials: int

    def __str__(self) -> str:
        return f"rank correlation {self.correlation:.2f} [{self.low:.2f}, {self.high:.2f}] over {self.trials} trials"


def agreement(one: Float[np.ndarray, " trials"], other: Float[np.ndarray, " trials"]) -> Agreement | None:
    """Return how far two scores of the same trials agree in rank; None where one of them is the same for all."""
    if len(one) < 4 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    correlation = float(spearmanr(one, other).statistic)
    spread = _NORMAL_95 * math.sqrt(_SPEARMAN_VARIANCE / (len(one) - 3))
    z = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, correlation)))
    return Agreement(correlation, math.tanh(z - spread), math.tanh(z + spread), len(one))


def mean_agreement(values: Float[np.ndarray, "trials folds"]) -> Agreement | None:
    """Return the mean agreement of all pairs of folds; None where no pair tells anything.

    Of more than one pair the interval is that of a bootstrap over trials, as pairs that share a fold are not
    independent.
    """
    told = values[:, np.ptp(values, axis=0) > 0] if len(values) >= 4 else values[:, :0]
    if told.shape[1] <= 2:
        return agreement(told[:, 0], told[:, 1]) if told.shape[1] == 2 else None
    drawn = np.random.default_rng(0).integers(len(told), size=(_RESAMPLES, len(told)))
    low, high = np.nanquantile([_mean_correlation(told[rows]) for rows in drawn], [0.025, 0.975])
    return Agreement(_mean_correlation(told), float(low), float(high), len(told))


def _mean_correlation(values: Float[np.ndarray, "trials folds"]) -> float:
    """Return the mean of Spearman's correlations of all pairs of folds; NaN where one is the same for all trials."""
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = np.corrcoef(rankdata(values, axis=0), rowvar=False)
    return float(pairs[np.triu_indices(len(pairs), 1)].mean())
