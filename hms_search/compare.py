"""Paired comparison of two models on the same rows: the difference in KL or F1, how sure it is, what may be said of it.

The rows of one patient resemble each other, so patients are drawn, not rows. A bootstrap over few patients, or over
patients with very unequal numbers of rows, gives intervals that are too narrow; these are widened for both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy import stats

from hms_search.data.oof import OutOfFold
from hms_search.errors import DataError
from hms_search.training.f1 import patient_counts, weighted_f1
from hms_search.training.metrics import Stratum, in_stratum, kl_terms

Verdict = Literal["better", "worse", "not distinguishable"]

_STRATA: tuple[Stratum, ...] = ("all", "high", "low")
_TAIL = 0.025
_LEAST_FREEDOM = 0.2
"""Bound of the degrees of freedom, reached where one patient has nine rows of ten; the interval is endless there."""

_Statistic = Callable[[Num[np.ndarray, "*draws patients"]], Float[np.ndarray, "*draws"]]
"""What is compared, from how often each patient counts."""


@dataclass(frozen=True)
class Difference:
    """How a candidate's value differs from a reference's on one stratum, candidate - reference.

    Attributes
    ----------
    mean
        Mean over rows of the difference in KL, in nats; or the difference in weighted F1.
    low, high
        Its 95 % interval over patients; infinite where all rows are of one patient.
    probability_better
        Share of the bootstrap's draws in which the candidate is better, draws without difference counted half.
    direction
        Which way the candidate is better: below zero in KL, above zero in F1.
    """

    stratum: Stratum
    mean: float
    low: float
    high: float
    probability_better: float
    rows: int
    patients: int
    direction: Literal["minimize", "maximize"] = "minimize"

    @property
    def verdict(self) -> Verdict:
        """What may be said: "better" or "worse" only where the whole interval is on that side of zero."""
        below, above = self.high < 0, self.low > 0
        better, worse = (below, above) if self.direction == "minimize" else (above, below)
        return "better" if better else "worse" if worse else "not distinguishable"


def oof_differences(candidate: OutOfFold, reference: OutOfFold, *, seed: int = 0) -> dict[Stratum, Difference]:
    """Return how aligned out-of-fold predictions differ in what their task measures, on each stratum that has rows."""
    if candidate.task == "seizure_types":
        return {"all": f1_difference(candidate, reference, seed=seed)}
    mine, theirs = losses_of(candidate), losses_of(reference)
    return paired_differences(mine, theirs, candidate.patients, candidate.high, seed=seed)


def f1_difference(candidate: OutOfFold, reference: OutOfFold, *, seed: int = 0, draws: int = 2000) -> Difference:
    """Return the difference in weighted F1 of aligned out-of-fold predictions.

    F1 is no mean over rows: both are computed again for each draw of patients. The interval is stretched as that of
    :func:`paired_differences`.
    """
    mine = patient_counts(candidate.targets, candidate.probabilities, candidate.patients)
    theirs = patient_counts(reference.targets, reference.probabilities, candidate.patients)

    def difference(drawn: Num[np.ndarray, "*draws patients"]) -> Float[np.ndarray, "*draws"]:
        one, other = (weighted_f1(*(drawn @ counts for counts in each)) for each in (mine, theirs))
        return np.asarray(one - other)

    rows = np.bincount(np.unique(candidate.patients, return_inverse=True)[1])
    return _difference("all", difference, rows, direction="maximize", seed=seed, draws=draws)


def paired_differences(
    candidate_losses: Float[np.ndarray, " rows"],
    reference_losses: Float[np.ndarray, " rows"],
    patients: Int[np.ndarray, " rows"],
    high: Bool[np.ndarray, " rows"],
    *,
    seed: int = 0,
    draws: int = 2000,
) -> dict[Stratum, Difference]:
    """Return the difference of two models' losses per row on each stratum that has rows.

    ``high`` says which rows have at least ten votes. Raises DataError where a loss is not finite.

    The interval is the percentile interval of a bootstrap over patients, stretched about the mean by
    t(.975, n - 1) / z(.975) * sqrt(n / (n - 1)). The factor is that of Hesterberg (2015, The American Statistician
    69(4), section 5.3), who puts it into the quantiles' levels; stretched ends can also lie beyond all draws, as they
    must with six patients or fewer. n is Kish's effective number of patients, (sum of rows)^2 / (sum of rows^2).

    How often it finds a difference where there is none, in percent (nominal: 5; 4000 repeats, standard error 0.4);
    rows per patient are log-normal, the longest 60, and losses share a patient effect:

    ============================================  ====  =====  =====  =====  =====  ======
    patients                                         3      6     15     30    100    1000
    ============================================  ====  =====  =====  =====  =====  ======
    symmetric heavy tails, plain percentile       25.4   15.8   10.7    8.2    6.5     5.7
    symmetric heavy tails, levels by patients     25.4    7.8    7.4    6.5    6.0     5.7
    symmetric heavy tails, this interval           2.0    2.8    4.4    4.7    5.5     5.6
    skewed heavy tails, plain percentile          31.6   21.4   15.0   10.6    8.4     5.7
    skewed heavy tails, levels by patients        31.6   12.3   11.4    9.1    7.9     5.7
    skewed heavy tails, this interval              2.8    5.0    8.5    7.4    7.5     5.7
    ============================================  ====  =====  =====  =====  =====  ======
    """
    differences = candidate_losses - reference_losses
    if not np.isfinite(differences).all():
        faulty = int((~np.isfinite(differences)).sum())
        raise DataError(f"expected finite losses to compare, found {faulty} rows of {len(differences)} that are not")
    found: dict[Stratum, Difference] = {}
    for stratum in _STRATA:
        chosen = in_stratum(high, stratum)
        if chosen.any():
            _, patient = np.unique(patients[chosen], return_inverse=True)
            rows, total = np.bincount(patient), np.bincount(patient, weights=differences[chosen])
            found[stratum] = _difference(stratum, _mean(total, rows), rows, seed=seed, draws=draws)
    return found


def losses_of(oof: OutOfFold) -> Float[np.ndarray, " rows"]:
    """Return the KL of each row of out-of-fold predictions."""
    losses: np.ndarray = kl_terms(oof.targets, oof.probabilities).sum(axis=1)
    return losses


def _mean(total: Float[np.ndarray, " patients"], rows: Int[np.ndarray, " patients"]) -> _Statistic:
    return lambda drawn: np.asarray((drawn @ total) / (drawn @ rows))


def _difference(
    stratum: Stratum,
    statistic: _Statistic,
    rows: Int[np.ndarray, " patients"],
    *,
    direction: Literal["minimize", "maximize"] = "minimize",
    seed: int,
    draws: int,
) -> Difference:
    """Return a difference that is found from how often each patient, with so many ``rows``, counts."""
    n_patients, value = len(rows), float(statistic(np.ones(len(rows))))
    low, high, probability = -np.inf, np.inf, 0.5  # of one patient nothing can be drawn
    if n_patients > 1:
        drawn = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws)
        found = statistic(drawn)
        low, high = value + _widening(rows) * (np.quantile(found, [_TAIL, 1 - _TAIL]) - value)
        better = found < 0 if direction == "minimize" else found > 0
        probability = better.mean() + (found == 0).mean() / 2
    n_rows = int(rows.sum())
    return Difference(stratum, value, float(low), float(high), float(probability), n_rows, n_patients, direction)


def _widening(rows: Int[np.ndarray, " patients"]) -> float:
    """Return by how much an interval over patients with these numbers of rows is to be stretched."""
    effective = float(rows.sum() ** 2 / (rows**2).sum())
    freedom = max(effective - 1, _LEAST_FREEDOM)
    return float(stats.t.ppf(1 - _TAIL, freedom) / stats.norm.ppf(1 - _TAIL) * np.sqrt(1 + 1 / freedom))
