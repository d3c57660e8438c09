"""How much better a trial is than the baseline when both are run again, and how sure that is.

Two things vary by chance: the seed of a training, and which patients were recorded. The interval of a gain in KL is
over both. A gain in F1, which is no mean over recordings, has one over seeds alone.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from hms_search.compare import losses_of
from hms_search.data.oof import OutOfFold
from hms_search.search.repeated import Gain, Over
from hms_search.training.metrics import Stratum, in_stratum

_TAIL = 0.025
_LEAST_FREEDOM = 0.2
"""As of the interval of :mod:`hms_search.compare`."""


def gain_over_patients(
    baseline: Sequence[OutOfFold], trial: Sequence[OutOfFold], *, objective: Stratum, recorded: float
) -> Gain:
    """Return the gain in KL from the out-of-fold predictions of each repetition, baseline and trial in pairs.

    A repetition's gain is the difference of two values, means over folds. Its standard error is that of crossed
    clusters (Cameron, Gelbach and Miller 2011, Journal of Business & Economic Statistics 29(2)): the variance between
    repetitions, plus that between patients, minus what both count of patients within repetitions; and never below
    either. Degrees of freedom are Satterthwaite's, of patients as Kish counts unequal ones.
    """
    everyone = np.unique(np.concatenate([one.patients[in_stratum(one.high, objective)] for one in trial]))
    pairs = [_by_patient(one, other, objective, everyone) for one, other in zip(baseline, trial, strict=True)]
    gains = np.array([gain for gain, _, _ in pairs])
    scatter, weight = np.stack([one for _, one, _ in pairs]), np.mean([one for _, _, one in pairs], axis=0)
    n_repeats, n_patients = scatter.shape
    if n_patients < 2:
        return Gain(recorded, float(gains.mean()), -np.inf, np.inf, "patients")
    spread = n_patients / (n_patients - 1)
    between_patients = spread * float((scatter.mean(axis=0) ** 2).sum())
    freedom = max(1 / float((weight**2).sum()) - 1, _LEAST_FREEDOM)
    if n_repeats == 1:
        return _gain(gains, between_patients, freedom, recorded, "patients")
    between_repeats = float(gains.var(ddof=1)) / n_repeats
    within = spread * float(((scatter - scatter.mean(axis=0)) ** 2).sum()) / (n_repeats * (n_repeats - 1))
    parts = (between_repeats, between_patients)
    variance = max(sum(parts) - within, *parts)
    crossed = variance**2 / max(between_repeats**2 / (n_repeats - 1) + between_patients**2 / freedom, 1e-300)
    least = float(min(n_repeats - 1, freedom))
    return _gain(gains, variance, max(crossed, least), recorded, "seeds and patients")


def gain_over_seeds(gains: Sequence[float], *, recorded: float) -> Gain:
    """Return the gain from that of each repetition, with Student's interval; endless for one repetition."""
    found = np.array(gains)
    if len(found) < 2:
        return Gain(recorded, float(found.mean()), -np.inf, np.inf, "seeds")
    return _gain(found, float(found.var(ddof=1)) / len(found), float(len(found) - 1), recorded, "seeds")


def _gain(gains: Float[np.ndarray, " repeats"], variance: float, freedom: float, recorded: float, over: Over) -> Gain:
    mean, reach = float(gains.mean()), float(stats.t.ppf(1 - _TAIL, freedom)) * float(np.sqrt(variance))
    return Gain(recorded, mean, mean - reach, mean + reach, over)


def _by_patient(
    baseline: OutOfFold, trial: OutOfFold, objective: Stratum, everyone: Int[np.ndarray, " patients"]
) -> tuple[float, Float[np.ndarray, " patients"], Float[np.ndarray, " patients"]]:
    """Return one repetition's gain, what each patient adds to its deviation, and each patient's share of the weight."""
    rows = in_stratum(trial.high, objective)
    gains, folds = (losses_of(baseline) - losses_of(trial))[rows], trial.folds[rows]
    _, fold = np.unique(folds, return_inverse=True)
    sizes = np.bincount(fold)
    means = np.bincount(fold, weights=gains) / sizes
    weights = 1 / (len(sizes) * sizes[fold])  # so that the weighted sum is the mean over folds, as a trial's value is
    patient, count = np.searchsorted(everyone, trial.patients[rows]), len(everyone)
    scatter = np.bincount(patient, weights=weights * (gains - means[fold]), minlength=count)
    return float(means.mean()), scatter, np.bincount(patient, weights=weights, minlength=count)
