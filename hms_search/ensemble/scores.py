"""What a blend is worth: its out-of-fold score beside its members' and their plain mean's, and its weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hms_search.compare import Difference, oof_differences
from hms_search.data.labels import CLASSES_OF
from hms_search.data.oof import OutOfFold
from hms_search.ensemble.blends import FittedBlend, LinearBlend, WeightedBlend
from hms_search.ensemble.cross_fit import CrossFit, cross_fit
from hms_search.ensemble.fit_weights import Mean
from hms_search.training.metrics import Stratum, in_stratum
from hms_search.training.tasks import TASKS


@dataclass(frozen=True)
class Score:
    """The task's value on a stratum, KL or weighted F1, with its 95 % interval, a bootstrap over patients."""

    value: float
    low: float
    high: float
    rows: int
    patients: int


@dataclass(frozen=True)
class Weight:
    """A fitted number of a blend, and the least and the greatest that the fits without one fold gave."""

    name: str
    value: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class BlendScores:
    """A blend's scores and numbers.

    Attributes
    ----------
    members, mean, blend
        Scores by stratum, strata without rows absent: of each member, of the plain mean of their probabilities, and of
        the blend on folds that it was not fitted on.
    differences
        Blend minus plain mean, paired; see :mod:`hms_search.compare`.
    weights
        One per member, then for a linear blend one bias per class; none for a mean or a stacking network.
    """

    members: Mapping[str, dict[Stratum, Score]]
    mean: dict[Stratum, Score]
    blend: dict[Stratum, Score]
    differences: dict[Stratum, Difference]
    weights: tuple[Weight, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain JSON types."""
        return {
            "scores": {
                "members": {name: _plain(scores) for name, scores in self.members.items()},
                "plain_mean": _plain(self.mean),
                "blend": _plain(self.blend),
            },
            "blend_minus_plain_mean": {
                stratum: {**_finite(asdict(difference)), "verdict": difference.verdict}
                for stratum, difference in self.differences.items()
            },
            "weights": [asdict(weight) for weight in self.weights],
        }


def scores_of(fit: CrossFit, *, seed: int = 0) -> BlendScores:
    """Return the scores of a cross-fitted blend; ``seed`` is that of the bootstraps."""
    mean = cross_fit(Mean(), fit.members).oof
    return BlendScores(
        members={member.name: by_stratum(member, seed=seed) for member in fit.members},
        mean=by_stratum(mean, seed=seed),
        blend=by_stratum(fit.oof, seed=seed),
        differences=oof_differences(fit.oof, mean, seed=seed),
        weights=_weights(fit),
    )


def by_stratum(oof: OutOfFold, *, seed: int = 0) -> dict[Stratum, Score]:
    """Return the score of out-of-fold predictions on each stratum that has rows."""
    task, patients, scores = TASKS[oof.task], oof.patients, {}
    for stratum in task.strata:
        chosen = in_stratum(oof.high, stratum)
        if chosen.any():
            found = task.pooled_scores(oof.targets, oof.probabilities, oof.high, patients, objective=stratum, seed=seed)
            low, high = (found[end] for end in task.interval)
            n_patients = len(np.unique(patients[chosen]))
            scores[stratum] = Score(task.value(found, stratum), low, high, int(chosen.sum()), n_patients)
    return scores


def _weights(fit: CrossFit) -> tuple[Weight, ...]:
    numbers = _numbers(fit.blend)
    folds = np.array([_numbers(blend) for blend in fit.fold_blends.values()])
    classes = CLASSES_OF[fit.oof.task]
    names = (*(member.name for member in fit.members), *(f"bias {name}" for name in classes))
    return tuple(
        Weight(name, number, float(of_folds.min()), float(of_folds.max()))
        for name, number, of_folds in zip(names, numbers, folds.T, strict=False)
    )


def _numbers(blend: FittedBlend) -> tuple[float, ...]:
    if isinstance(blend.config, LinearBlend):
        return (*blend.config.weights, *blend.config.bias)
    return blend.config.weights if isinstance(blend.config, WeightedBlend) else ()


def _plain(scores: Mapping[Stratum, Score]) -> dict[str, Any]:
    return {stratum: asdict(score) for stratum, score in scores.items()}


def _finite(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers with None for the ends of an endless interval, which JSON has no word for."""
    return {name: None if value in {np.inf, -np.inf} else value for name, value in numbers.items()}
