"""How much each parameter matters for being among the best, against what chance alone would show."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from hms_search.search.evidence import Evidence
from hms_search.search.space import SearchSpace

PERMUTATIONS = 199


@dataclass(frozen=True)
class Importance:
    """PED-ANOVA's importance of a parameter, and the share of shuffled records in which it looks as important."""

    value: float
    p_value: float


def importances(
    space: SearchSpace, evidence: Evidence, *, quantile: float, seed: int, permutations: int = PERMUTATIONS
) -> Mapping[str, Importance]:
    """Return the importance of each parameter for being in the best ``quantile`` of the trials.

    The null is the same record with the losses dealt anew among the trials: p = (1 + as important) / (1 + shuffles).
    Pruned and failed trials count as worse than all others. The same seed gives the same answer.
    """
    study = _study(space, evidence)
    losses = np.array([trial.loss for trial in evidence.trials])
    ranks = np.searchsorted(losses, losses).astype(float)  # the evidence stands best first
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes", category=UserWarning)
        observed = _evaluate(evaluator, study, ranks)
        null = [_evaluate(evaluator, study, rng.permutation(ranks)) for _ in range(permutations)]
    return {
        path: Importance(observed[path], (1 + sum(one[path] >= observed[path] for one in null)) / (1 + permutations))
        for path in space.parameters
    }


def _study(space: SearchSpace, evidence: Evidence) -> optuna.Study:
    """Return the trials in memory under the space's distributions, in the order of the evidence."""
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    distributions = space.distributions
    study.add_trials(
        [
            create_trial(
                value=0.0, params={path: trial.params[path] for path in distributions}, distributions=distributions
            )
            for trial in evidence.trials
        ]
    )
    return study


def _evaluate(
    evaluator: PedAnovaImportanceEvaluator, study: optuna.Study, ranks: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, float]:
    def rank(trial: FrozenTrial) -> float:
        return float(ranks[trial.number])

    return evaluator.evaluate(study, target=rank)
