"""Methods that give each member a weight: the mean, fixed weights, Nelder-Mead, a linear combination of logits."""

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from hms_search.component import Component, Field, model_validator
from hms_search.ensemble.blends import (
    FittedBlend,
    LinearBlend,
    MeanBlend,
    Space,
    WeightedBlend,
    from_space,
    in_space,
    logits_of,
    softmax,
)
from hms_search.ensemble.rows import Rows
from hms_search.errors import ConfigError
from hms_search.training.metrics import kl

NonNegative = Annotated[float, Field(ge=0)]


class Mean(Component):
    """The plain mean of the members' probabilities, or of their logits; nothing is fitted."""

    name: Literal["mean"] = "mean"
    space: Space = "probabilities"

    def fit(self, rows: Rows, *, seed: int) -> FittedBlend:
        """Return the mean."""
        return FittedBlend(MeanBlend(space=self.space))


class Weighted(Component):
    """Weights chosen beforehand, divided by their sum; the baseline's are .25 (ResNet-34d), .42 (B0) and .33 (B1)."""

    name: Literal["weighted"] = "weighted"
    weights: tuple[NonNegative, ...] = Field(min_length=1)
    space: Space = "probabilities"

    @model_validator(mode="after")
    def _has_weight(self) -> "Weighted":
        if sum(self.weights) <= 0:
            raise ValueError("weights: expected at least one above 0, found only zeros")
        return self

    def fit(self, rows: Rows, *, seed: int) -> FittedBlend:
        """Return the weighted mean; raises ConfigError where the members are not as many as the weights."""
        n = len(rows.probabilities)
        if len(self.weights) != n:
            raise ConfigError(f"expected one weight per member, found {len(self.weights)} weights for {n} members")
        return FittedBlend(WeightedBlend(weights=_shares(np.array(self.weights)), space=self.space))


class NelderMead(Component):
    """Weights in [0, 1] that minimise the mean KL over rows, found by SciPy's Nelder-Mead from 1/n each.

    The weights are divided by their sum inside the objective (bilzard's recipe, 4th place, in logits; the 98th place
    mixed probabilities). The fit ends no worse than the mean, where it starts. The simplex is adapted to the dimension
    (Gao & Han 2012): with 15 members the usual one stops with a weight caught at 0, 1e-4 above the minimum.
    """

    name: Literal["nelder-mead"] = "nelder-mead"
    space: Space = "probabilities"

    def fit(self, rows: Rows, *, seed: int) -> FittedBlend:
        """Return the weighted mean that fits the rows best."""
        members = in_space(self.space, rows.probabilities)
        n = len(members)

        def loss(weights: Float[np.ndarray, " members"]) -> float:
            if not weights.any():
                return np.inf
            mixed = np.tensordot(weights / weights.sum(), members, axes=1)
            return kl(rows.targets, from_space(self.space, mixed))

        found = minimize(
            loss,
            np.full(n, 1 / n),
            method="Nelder-Mead",
            bounds=[(0, 1)] * n,
            options={"adaptive": True, "maxiter": 1000 * n, "maxfev": 1000 * n, "xatol": 1e-4, "fatol": 1e-7},
        )
        return FittedBlend(WeightedBlend(weights=_shares(found.x), space=self.space))


class Linear(Component):
    """A linear combination of logits and a bias per class that minimise the mean KL over rows (3rd place).

    The KL is convex in weights and biases, so that L-BFGS on all rows at once, from 1/n each and no bias, ends at the
    one minimum; the 3rd place took 801 epochs of SGD. The biases sum to 0, as those of their gradient do.
    """

    name: Literal["linear"] = "linear"

    def fit(self, rows: Rows, *, seed: int) -> FittedBlend:
        """Return the combination that fits the rows best."""
        logits = logits_of(rows.probabilities)
        n, n_rows = logits.shape[:2]

        def loss(numbers: Float[np.ndarray, " numbers"]) -> tuple[float, Float[np.ndarray, " numbers"]]:
            q = softmax(np.tensordot(numbers[:n], logits, axes=1) + numbers[n:])
            excess = (q - rows.targets) / n_rows
            return kl(rows.targets, q), np.concatenate([np.tensordot(logits, excess, axes=2), excess.sum(axis=0)])

        start = np.concatenate([np.full(n, 1 / n), np.zeros(logits.shape[2])])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-12})
        return FittedBlend(LinearBlend(weights=tuple(found.x[:n].tolist()), bias=tuple(found.x[n:].tolist())))


def _shares(weights: Float[np.ndarray, " members"]) -> tuple[float, ...]:
    return tuple((weights / weights.sum()).tolist())
