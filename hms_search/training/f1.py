"""Scores of predicted classes where each sample has one: F1 by class and weighted by the classes' samples."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from hms_search.training.metrics import kl

Counts = Float[np.ndarray, "*draws classes"]


def f1_scores(
    target: Float[np.ndarray, "rows classes"], probability: Float[np.ndarray, "rows classes"], names: Sequence[str]
) -> dict[str, float]:
    """Return all metrics of predictions, by name.

    ``weighted_f1``: the mean over classes of F1 = 2 TP / (2 TP + FP + FN), each class counting as much as it has
    samples; scikit-learn's ``f1_score(average="weighted")``. ``f1_<class>``: of each class that has samples.
    ``accuracy``; and ``cross_entropy``, in nats, which for targets of one class is their KL divergence.
    """
    hits, predicted, true = (part.sum(axis=0) for part in _counted(target, probability))
    by_class = 2 * hits / np.maximum(predicted + true, 1)
    metrics = {"weighted_f1": float(weighted_f1(hits, predicted, true))}
    metrics |= {f"f1_{name}": float(one) for name, one, count in zip(names, by_class, true, strict=True) if count}
    metrics["accuracy"] = float(hits.sum() / true.sum())
    metrics["cross_entropy"] = kl(target, probability)
    return metrics


def weighted_f1(hits: Counts, predicted: Counts, true: Counts) -> Float[np.ndarray, "*draws"]:
    """Return the weighted F1 from how many samples of each class were found, were predicted, and are there."""
    by_class = 2 * hits / np.maximum(predicted + true, 1)  # a class that neither occurs nor is predicted weighs nothing
    return np.asarray((true * by_class).sum(axis=-1) / true.sum(axis=-1))


def f1_interval(
    target: Float[np.ndarray, "rows classes"],
    probability: Float[np.ndarray, "rows classes"],
    patients: Int[np.ndarray, " rows"],
    *,
    seed: int,
    draws: int = 1000,
) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the weighted F1, patients drawn with replacement."""
    hits, predicted, true = patient_counts(target, probability, patients)
    n_patients = len(true)
    drawn = np.random.default_rng(seed).multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws)
    low, high = np.quantile(weighted_f1(drawn @ hits, drawn @ predicted, drawn @ true), [0.025, 0.975])
    return float(low), float(high)


def patient_counts(
    target: Float[np.ndarray, "rows classes"],
    probability: Float[np.ndarray, "rows classes"],
    patients: Int[np.ndarray, " rows"],
) -> tuple[
    Float[np.ndarray, "patients classes"], Float[np.ndarray, "patients classes"], Float[np.ndarray, "patients classes"]
]:
    """Return how many samples of each class were found, were predicted, and are there, of each patient in order."""
    _, patient = np.unique(patients, return_inverse=True)
    rows_of = np.eye(int(patient.max()) + 1)[:, patient]
    hits, predicted, true = (rows_of @ part for part in _counted(target, probability))
    return hits, predicted, true


def pooled_f1(
    target: Float[np.ndarray, "rows classes"],
    probability: Float[np.ndarray, "rows classes"],
    patients: Int[np.ndarray, " rows"],
    names: Sequence[str],
    *,
    seed: int,
) -> dict[str, float]:
    """Return :func:`f1_scores`, and the ends of the interval: ``weighted_f1_interval_low`` and ``_high``."""
    low, high = f1_interval(target, probability, patients, seed=seed)
    scores = f1_scores(target, probability, names)
    return {**scores, "weighted_f1_interval_low": low, "weighted_f1_interval_high": high}


def _counted(
    target: Float[np.ndarray, "rows classes"], probability: Float[np.ndarray, "rows classes"]
) -> tuple[Float[np.ndarray, "rows classes"], Float[np.ndarray, "rows classes"], Float[np.ndarray, "rows classes"]]:
    """Return by row, as 0 and 1, the class that was hit if any, the one that was predicted, and the true one."""
    classes = np.eye(target.shape[1])
    predicted, true = classes[probability.argmax(axis=1)], classes[target.argmax(axis=1)]
    return predicted * true, predicted, true
