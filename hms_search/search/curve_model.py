"""A Gaussian process over configurations and steps: what a learning curve will come to, and how sure that is.

Zero mean, a Matern 5/2 kernel with a length per dimension (Rasmussen and Williams 2006, chapters 2, 4 and 5), and
log-normal priors on its parameters, which keep a fit to few points sober. As in Swersky et al. 2014 ("Freeze-thaw
Bayesian optimization") short curves tell of long ones; here the step is one more dimension.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Points = Float[np.ndarray, "points dims"]
Targets = Float[np.ndarray, " points"]

_SQRT_5 = np.sqrt(5.0)
_JITTER = 1e-6
_LENGTH_PRIOR, _VARIANCE_PRIOR, _NOISE_PRIOR = (np.log(2.0), 1.5), (0.0, 1.0), (np.log(0.02), 1.5)
"""Mean and standard deviation of the logarithms, for points in the unit cube and targets of unit variance.

With long lengths far corners are not as unsure as if nothing were known (Hvarfner et al. 2024, "Vanilla Bayesian
optimization performs great in high dimensions"); on the learning curves of LCBench 0.5 was worse by 0.1 of regret.
"""
_LENGTH_BOUNDS, _VARIANCE_BOUNDS, _NOISE_BOUNDS = (0.03, 20.0), (0.05, 20.0), (1e-4, 1.0)
_ITERATIONS = 40


@dataclass(frozen=True, eq=False)
class Kernel:
    """How targets vary: a length per dimension, the variance of the function, the variance of the noise."""

    lengths: Float[np.ndarray, " dims"]
    variance: float
    noise: float

    def between(
        self, first: Float[np.ndarray, "first dims"], second: Float[np.ndarray, "second dims"]
    ) -> Float[np.ndarray, "first second"]:
        """Return the covariances of the function at two sets of points."""
        distance = _SQRT_5 * _distances(first / self.lengths, second / self.lengths)
        covariances: np.ndarray = self.variance * (1 + distance + distance**2 / 3) * np.exp(-distance)
        return covariances


@dataclass(frozen=True, eq=False)
class Posterior:
    """What ``targets`` at ``points`` say about other points."""

    kernel: Kernel
    points: Points
    targets: Targets

    def at(
        self, points: Float[np.ndarray, "others dims"]
    ) -> tuple[Float[np.ndarray, " others"], Float[np.ndarray, " others"]]:
        """Return the mean and the standard deviation of the function at points."""
        covariances = self.kernel.between(points, self.points)
        explained = solve_triangular(self._root, covariances.T, lower=True, check_finite=False)
        variances = self.kernel.variance - np.square(explained).sum(axis=0)
        return covariances @ self._weights, np.sqrt(np.maximum(variances, 1e-12))

    @cached_property
    def _root(self) -> Float[np.ndarray, "points points"]:
        covariances = self.kernel.between(self.points, self.points)
        covariances[np.diag_indices_from(covariances)] += self.kernel.noise + _JITTER
        return cholesky(covariances, lower=True)

    @cached_property
    def _weights(self) -> Targets:
        return cho_solve((self._root, True), self.targets)


def fit(points: Points, targets: Targets) -> Kernel:
    """Return the kernel of the largest posterior density; points in the unit cube, targets of about unit variance."""
    n_dims = points.shape[1]
    bounds = [*[_LENGTH_BOUNDS] * n_dims, _VARIANCE_BOUNDS, _NOISE_BOUNDS]
    start = np.array([_LENGTH_PRIOR[0]] * n_dims + [_VARIANCE_PRIOR[0], _NOISE_PRIOR[0]])

    def density(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        return negative_log_density(logs, points, targets)

    found = minimize(
        density,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(float(np.log(low)), float(np.log(high))) for low, high in bounds],
        options={"maxiter": _ITERATIONS},
    )
    return _kernel(found.x)


def negative_log_density(
    logs: Float[np.ndarray, " parameters"], points: Points, targets: Targets
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Return the negative log posterior density of a kernel, and its gradient.

    ``logs`` are the logarithms of the lengths, of the variance and of the noise.
    """
    kernel, n_dims = _kernel(logs), points.shape[1]
    scaled = points / kernel.lengths
    distance = _SQRT_5 * _distances(scaled, scaled)
    decay = np.exp(-distance)
    signal = kernel.variance * (1 + distance + distance**2 / 3) * decay
    root = cholesky(signal + (kernel.noise + _JITTER) * np.eye(len(points)), lower=True, check_finite=False)
    weights = cho_solve((root, True), targets, check_finite=False)
    inverse = cho_solve((root, True), np.eye(len(points)), check_finite=False)
    slope = inverse - np.outer(weights, weights)  # twice the derivative by the covariances

    by_square = slope * kernel.variance * (5 / 3) * (1 + distance) * decay
    gradient = np.empty_like(logs)
    gradient[:n_dims] = by_square.sum(axis=1) @ scaled**2 - np.einsum("nd,nm,md->d", scaled, by_square, scaled)
    gradient[n_dims] = 0.5 * (slope * signal).sum()
    gradient[n_dims + 1] = 0.5 * kernel.noise * np.trace(slope)

    priors = np.array([_LENGTH_PRIOR] * n_dims + [_VARIANCE_PRIOR, _NOISE_PRIOR])
    away = (logs - priors[:, 0]) / priors[:, 1]
    density = 0.5 * targets @ weights + np.log(np.diag(root)).sum() + 0.5 * away @ away
    return float(density), gradient + away / priors[:, 1]


def _kernel(logs: Float[np.ndarray, " parameters"]) -> Kernel:
    values = np.exp(logs)
    return Kernel(values[:-2], float(values[-2]), float(values[-1]))


def _distances(
    first: Float[np.ndarray, "first dims"], second: Float[np.ndarray, "second dims"]
) -> Float[np.ndarray, "first second"]:
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1) - 2 * first @ second.T
    distances: np.ndarray = np.sqrt(np.maximum(squares, 0.0))
    return distances
