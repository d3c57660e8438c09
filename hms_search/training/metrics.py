"""Scores of predicted class probabilities against vote distributions: the competition's KL, by stratum and by class."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from hms_search.data.labels import CLASSES

Stratum = Literal["all", "high", "low"]
"""Which rows a score refers to: all, those with at least ten votes, or those with fewer."""

STRATA: tuple[Stratum, ...] = ("all", "high", "low")

_CLIP = 1e-15


def kl_terms(
    target: Float[np.ndarray, "rows classes"], probability: Float[np.ndarray, "rows classes"]
) -> Float[np.ndarray, "rows classes"]:
    """Return p ln(p / clip(q, 1e-15, 1 - 1e-15)) of each row and class, 0 where p = 0, in nats.

    The sum over classes, averaged over rows, is the competition's score (Kaggle's ``kullback_leibler_divergence``
    with its defaults): predictions are not normalised again after clipping. NaN predictions give NaN.
    """
    p = np.asarray(target, dtype=np.float64)
    q = np.clip(np.asarray(probability, dtype=np.float64), _CLIP, 1 - _CLIP)
    terms = np.zeros_like(p)
    np.log(p, out=terms, where=p > 0)
    terms -= np.where(p > 0, np.log(q), 0.0)
    return p * terms


def kl(target: Float[np.ndarray, "rows classes"], probability: Float[np.ndarray, "rows classes"]) -> float:
    """Return the competition's score: the mean over rows of KL(target || probability)."""
    return float(kl_terms(target, probability).sum(axis=1).mean())


def in_stratum(high: Bool[np.ndarray, " rows"], stratum: Stratum) -> Bool[np.ndarray, " rows"]:
    """Return which rows belong to a stratum, given which have at least ten votes."""
    return {"all": np.ones_like(high), "high": high, "low": ~high}[stratum]


def scores(
    target: Float[np.ndarray, "rows 6"], probability: Float[np.ndarray, "rows 6"], high: Bool[np.ndarray, " rows"]
) -> dict[str, float]:
    """Return all metrics of predictions, by name.

    ``kl_all``, ``kl_high``, ``kl_low``: the score on each stratum, absent where it has no rows. ``kl_<class>``: the
    class's share of ``kl_all``; the six add up to it. ``accuracy``: how often the most likely class is the one with
    the most votes (the first of them on a tie).
    """
    terms = kl_terms(target, probability)
    rows = terms.sum(axis=1)
    metrics = {f"kl_{name}": float(rows[chosen].mean()) for name in STRATA if (chosen := in_stratum(high, name)).any()}
    metrics |= {f"kl_{name}": float(term) for name, term in zip(CLASSES, terms.mean(axis=0), strict=True)}
    metrics["accuracy"] = float((probability.argmax(axis=1) == target.argmax(axis=1)).mean())
    return metrics


def pooled_scores(
    target: Float[np.ndarray, "rows 6"],
    probability: Float[np.ndarray, "rows 6"],
    high: Bool[np.ndarray, " rows"],
    patients: Int[np.ndarray, " rows"],
    *,
    objective: Stratum,
    seed: int,
) -> dict[str, float]:
    """Return :func:`scores` of predictions, and the ends of the 95 % interval over patients of the objective's KL.

    The ends are ``kl_interval_low`` and ``kl_interval_high``.
    """
    chosen = in_stratum(high, objective)
    losses = kl_terms(target, probability).sum(axis=1)
    low, high_end = patient_interval(losses[chosen], patients[chosen], seed=seed)
    return {**scores(target, probability, high), "kl_interval_low": low, "kl_interval_high": high_end}


def patient_interval(
    losses: Float[np.ndarray, " rows"], patients: Int[np.ndarray, " rows"], *, seed: int, draws: int = 1000
) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of a mean of row losses, patients drawn with replacement.

    Rows of one patient resemble each other, so rows are not drawn on their own. With a single patient there is
    nothing to draw from, and both ends are the mean.
    """
    _, patient = np.unique(patients, return_inverse=True)
    n_rows, total = np.bincount(patient), np.bincount(patient, weights=losses)
    n_patients = len(n_rows)
    drawn = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws)
    low, high = np.quantile((drawn @ total) / (drawn @ n_rows), [0.025, 0.975])
    return float(low), float(high)
