"""CurveSampler: proposes what is expected to end best, from learning curves of any length.

A Gaussian process of losses over configuration and step learns from every trial: finished, pruned, paused or diverged.
It proposes the configuration of the largest expected improvement at the end of a training. Values enter on a scale of
their own (:func:`scores`), so that neither a diverged run nor a metric's scale can upset the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
from jaxtyping import Bool, Float
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.spatial import cKDTree

from hms_search.search.acquisition import climbed, log_improvement
from hms_search.search.coordinates import Coordinates, Rows
from hms_search.search.curve_model import Kernel, Posterior, fit
from hms_search.search.draws import Places
from hms_search.search.outcomes import is_evidence, origin_of

_GRID_FACTOR = 4
_MOST_VALUES = 300
"""A proposal's time grows with their third power; of more, the better half is kept whole and the rest drawn."""
_REFIT_GROWTH = 1.2
_FIT_KEY = "hms_search:kernel"
"""The system attribute of a trial with the kernel fitted for it: whoever goes on fits anew when this session would."""
_DRAWN, _CENTRES, _NEAR = 500, 5, 30
_SPREADS = (0.2, 0.05, 0.02)
_DUPLICATE = 0.005
"""Largest difference in any coordinate at which two configurations count as the same."""
_WORST = 2.0
"""The highest score before standardising: of what is 6.4 units above the median."""


@dataclass(frozen=True, eq=False)
class Known:
    """A trial as the sampler sees it: its place, and its losses by the number of steps trained. None: still pending."""

    row: Float[np.ndarray, " parameters"]
    losses: Mapping[int, float]


@dataclass(frozen=True)
class _Fitted:
    """A kernel as it is kept with the trial for whose proposal it was fitted, and to how many values it was."""

    lengths: Sequence[float]
    variance: float
    noise: float
    n_values: int

    @property
    def kernel(self) -> Kernel:
        return Kernel(np.array(self.lengths), self.variance, self.noise)


class CurveSampler(BaseSampler):
    """The proposals as an Optuna sampler.

    Parameters
    ----------
    distributions
        The whole space.
    epochs
        Epochs of a fold: where trials run several folds, curves of the first and the final values are learned from.
    seed
        With a trial's place (:class:`hms_search.search.draws.Places`) it draws all candidates.
    n_startup_trials
        Trials that are drawn at random first, two at least; later, the trial after a mere repetition is.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        *,
        epochs: int,
        seed: int,
        n_startup_trials: int,
    ) -> None:
        self._distributions, self._epochs = dict(distributions), epochs
        self._coordinates = Coordinates(distributions)
        self._seed, self._n_startup = seed, n_startup_trials
        self._places = Places()
        self._fitted: _Fitted | None = None
        self._independent = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of a new trial."""
        trials = study.get_trials(deepcopy=False)
        others = [other for other in trials if other.number != trial.number]
        others.sort(key=origin_of)
        known = known_of(others, self._coordinates, self._epochs, study.direction)
        rng = np.random.default_rng([self._seed, self._places.of(trial.number, trials)])
        if sum(bool(one.losses) for one in known) < self._n_startup or last_is_a_repetition(known):
            candidates = self._coordinates.drawn(_DRAWN, rng)
            return self._coordinates.params(candidates[np.argmax(is_new(candidates, known))])
        before = self._fitted = self._fitted or _kept_fit(others)
        chosen = self._most_promising(known, rng)
        if self._fitted is not None and self._fitted is not before:
            study._storage.set_trial_system_attr(trial._trial_id, _FIT_KEY, asdict(self._fitted))
        return self._coordinates.params(chosen)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a draw, of a parameter that is not in the space."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _most_promising(self, known: Sequence[Known], rng: np.random.Generator) -> Float[np.ndarray, " parameters"]:
        """Return the new candidate of the largest expected improvement at the end."""
        last = max([self._epochs, *(step for one in known for step in one.losses)])
        posterior = self._learned(known, rng)

        def at_end(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
            return posterior.at(self._points(rows, np.full(len(rows), last)))

        tried = np.stack([one.row for one in known])
        expected = at_end(tried)[0]
        if not all(one.losses for one in known):  # another worker's: as if it had come out as expected
            pending = np.stack([one.row for one in known if not one.losses])
            posterior = Posterior(
                posterior.kernel,
                np.concatenate([posterior.points, self._points(pending, np.full(len(pending), last))]),
                np.concatenate([posterior.targets, at_end(pending)[0]]),
            )

        def gain(rows: Rows) -> np.ndarray:
            return log_improvement(expected.min(), *at_end(rows))

        centres = tried[np.argsort(expected)[:_CENTRES]]
        near = [self._coordinates.near(centres, _NEAR, spread, rng) for spread in _SPREADS]
        candidates = np.concatenate([self._coordinates.drawn(_DRAWN, rng), *near])
        starts = [*candidates[np.argsort(-gain(candidates))[:_CENTRES]], *centres[:2]]
        tops = self._coordinates.settled(np.stack([climbed(row, gain, self._coordinates.fine) for row in starts]))
        tops = np.concatenate([tops, candidates])
        promise = gain(tops)
        promise[~is_new(tops, known)] -= 1e6  # only where nothing new is left
        chosen: np.ndarray = tops[promise.argmax()]
        return chosen

    def _learned(self, known: Sequence[Known], rng: np.random.Generator) -> Posterior:
        """Return what all values say, the kernel fitted anew where there are a fifth more than last time."""
        rows = np.stack([one.row for one in known for _ in one.losses])
        steps = np.array([step for one in known for step in one.losses])
        targets = scores(np.array([loss for one in known for loss in one.losses.values()]))
        if len(targets) > _MOST_VALUES:
            order = np.argsort(targets, kind="stable")
            kept = order[: _MOST_VALUES // 2]
            kept = np.concatenate([kept, rng.choice(order[len(kept) :], _MOST_VALUES - len(kept), replace=False)])
            rows, steps, targets = rows[kept], steps[kept], targets[kept]
        points = self._points(rows, steps)
        n_values = sum(len(one.losses) for one in known)
        if self._fitted is None or n_values >= _REFIT_GROWTH * self._fitted.n_values:
            kernel = fit(points, targets)
            self._fitted = _Fitted(kernel.lengths.tolist(), kernel.variance, kernel.noise, n_values)
        return Posterior(self._fitted.kernel, points, targets)

    def _points(self, rows: Rows, steps: np.ndarray) -> Float[np.ndarray, "rows features"]:
        times = np.log(steps) / np.log(max(self._epochs, 2))
        return np.column_stack([self._coordinates.features(rows), times])


def known_of(
    trials: Sequence[FrozenTrial], coordinates: Coordinates, epochs: int, direction: StudyDirection
) -> list[Known]:
    """Return what trials say: of those that are in the space, the losses at the steps that count.

    A failed trial is as bad as can be, unless the same configuration was run again; one that was interrupted is
    pending until it is.
    """
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    known, failed, interrupted = [], [], []
    for trial in trials:
        row = coordinates.row(trial.params)
        if row is None or trial.state == TrialState.WAITING:
            continue
        if trial.state != TrialState.FAIL:
            known.append(Known(row, losses_of(trial, epochs, sign)))
        elif is_evidence(trial):
            failed.append(Known(row, {1: np.inf}))
        else:
            interrupted.append(Known(row, {}))
    again = {one.row.tobytes() for one in known}
    ended = [one for one in failed if one.row.tobytes() not in again] + known
    again = {one.row.tobytes() for one in ended}
    return [one for one in interrupted if one.row.tobytes() not in again] + ended


def _kept_fit(trials: Sequence[FrozenTrial]) -> _Fitted | None:
    """Return the newest kernel that was kept with a trial; None where there is none."""
    kept = (trial.system_attrs[_FIT_KEY] for trial in reversed(trials) if _FIT_KEY in trial.system_attrs)
    return next((_Fitted(**one) for one in kept), None)


def losses_of(trial: FrozenTrial, epochs: int, sign: float = 1.0) -> dict[int, float]:
    """Return a trial's losses by steps trained: at steps a factor apart, at its last, and its final value.

    Steps after the first fold are left out: a fold's first epochs are no continuation of the one before.
    """
    curve = {step + 1: sign * value for step, value in trial.intermediate_values.items() if step < epochs}
    grid, step = {epochs}, epochs
    while step >= _GRID_FACTOR:
        step = round(step / _GRID_FACTOR)
        grid.add(step)
    losses = {step: value for step, value in curve.items() if step in grid or step == max(curve)}
    if trial.state == TrialState.COMPLETE:
        end = max([epochs, *(step + 1 for step in trial.intermediate_values)])
        losses[end] = sign * trial.values[0]
    return {step: np.inf if np.isnan(loss) else loss for step, loss in sorted(losses.items())}


def last_is_a_repetition(known: Sequence[Known]) -> bool:
    """Say whether the last trial did exactly as an earlier one: what differed is without effect.

    Where the best region is a handful of distinct configurations, a model would propose them over and over.
    """
    return bool(known[-1:]) and bool(known[-1].losses) and any(one.losses == known[-1].losses for one in known[:-1])


def is_new(rows: Rows, known: Sequence[Known]) -> Bool[np.ndarray, " rows"]:
    """Say of each row whether no trial has the same configuration, or nearly."""
    if not known:
        return np.ones(len(rows), dtype=bool)
    away, _ = cKDTree(np.stack([one.row for one in known])).query(rows, p=np.inf)
    return np.asarray(away) > _DUPLICATE


def scores(losses: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
    """Return losses on a scale of mean 0 and variance 1 that neither diverged runs nor heavy tails can stretch.

    Below the median they keep their distances, in units of that from the median to the best tenth; above it they grow
    with the logarithm, up to ``_WORST``. What diverged is as bad as the worst, and one unit above the median at least.
    """
    finite = losses[np.isfinite(losses)]
    if len(finite) == 0:
        return np.zeros(len(losses))
    median = np.median(losses) if np.isfinite(np.median(losses)) else finite.max()
    units = (np.where(np.isfinite(losses), losses, finite.max()) - median) / (median - np.quantile(finite, 0.1) or 1.0)
    scaled = np.where(units > 0, np.minimum(np.log1p(np.maximum(units, 0.0)), _WORST), units)
    scaled[~np.isfinite(losses)] = max(1.0, scaled.max())
    standard: np.ndarray = (scaled - scaled.mean()) / (scaled.std() or 1.0)
    return standard
