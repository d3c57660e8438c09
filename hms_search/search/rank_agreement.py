"""How far two scores rank the same trials alike."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

_NORMAL_95 = 1.96
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
    """Return the mean agreement of all pairs of folds; None where no pair tells anything."""
    n_folds = len(values[0]) if len(values) else 0
    pairs = [agreement(values[:, i], values[:, j]) for i in range(n_folds) for j in range(i)]
    told = [pair for pair in pairs if pair is not None]
    if not told:
        return None
    means = [float(np.mean([getattr(pair, name) for pair in told])) for name in ("correlation", "low", "high")]
    return Agreement(means[0], means[1], means[2], len(values))
