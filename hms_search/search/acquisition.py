"""Where to look next: the expected improvement by a model's mean and spread, and where it is largest."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import ndtr

Row = Float[np.ndarray, " parameters"]
Gain = Callable[[Float[np.ndarray, "rows parameters"]], Float[np.ndarray, " rows"]]
"""Says of rows of coordinates how much each promises."""

_DIFFERENCE = 1e-6
_ITERATIONS = 40


def log_improvement(
    best: float, mean: Float[np.ndarray, " rows"], sd: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Return the logarithm of the expected improvement upon ``best``, whatever its size.

    For z = (best - mean) / sd it is log(sd) + log(phi(z) + z Phi(z)), of which far below the best phi(z) / z^2 is left.
    """
    z = (best - mean) / sd
    near = np.maximum(z, -5.0)
    exact = np.log(np.exp(_log_phi(near)) + near * ndtr(near))
    far = _log_phi(z) - 2 * np.log(np.maximum(-z, 1.0))
    logs: np.ndarray = np.log(sd) + np.where(z > -5.0, exact, far)
    return logs


def climbed(row: Row, gain: Gain, along: Bool[np.ndarray, " parameters"]) -> Row:
    """Return the top of the hill of ``gain`` on which ``row`` stands, inside the unit cube.

    Only coordinates ``along`` which gain is smooth are moved. Slopes are differences, taken in one call with the value.
    """
    moved = np.flatnonzero(along)
    if len(moved) == 0:
        return row

    def downhill(places: np.ndarray) -> tuple[float, np.ndarray]:
        around = np.tile(row, (1 + len(moved), 1))
        around[:, moved] = places
        around[1 + np.arange(len(moved)), moved] += _DIFFERENCE
        losses = -gain(around)
        return float(losses[0]), (losses[1:] - losses[0]) / _DIFFERENCE

    bounds = [(0.0, 1.0)] * len(moved)
    found = minimize(downhill, row[moved], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS})
    top: np.ndarray = row.copy()
    top[moved] = found.x
    return top


def _log_phi(z: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Return the logarithm of the normal density; SciPy's own checks its arguments for ten times as long."""
    density: np.ndarray = -0.5 * np.square(z) - 0.5 * np.log(2 * np.pi)
    return density
