"""Samplers: who proposes the next configuration. All but ``curve_gp`` are Optuna's; here is how YAML names them."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from hms_search.component import Component
from hms_search.search.cmaes import ReplayedCmaEs
from hms_search.search.draws import PlacedSampler
from hms_search.search.experimental import knowingly
from hms_search.search.proposals import CurveSampler
from hms_search.search.space import Categorical, Int, Parameter, SearchSpace, at_step


class Tpe(Component):
    """Tree-structured Parzen estimator, multivariate over all parameters."""

    name: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(default=10, ge=0)
    n_ei_candidates: int = Field(default=24, ge=1)
    multivariate: bool = True

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""
        settings = self.model_dump(exclude={"name"})
        return PlacedSampler(lambda drawn: optuna.samplers.TPESampler(seed=drawn, **settings), seed)


class Gp(Component):
    """Gaussian process with log expected improvement; strong for few numeric parameters and few trials."""

    name: Literal["gp"] = "gp"
    n_startup_trials: int = Field(default=10, ge=0)

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""
        n = self.n_startup_trials
        return PlacedSampler(lambda drawn: optuna.samplers.GPSampler(seed=drawn, n_startup_trials=n), seed)


class CurveGp(Component):
    """Gaussian process over configuration and epoch: learns from paused and pruned trials too; the default.

    For numeric parameters and choices, some ten; it takes up to half a second to propose. See
    :mod:`hms_search.search.proposals`.
    """

    name: Literal["curve_gp"] = "curve_gp"
    n_startup_trials: int = Field(default=5, ge=2)

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return the sampler, for this space and its number of epochs."""
        return CurveSampler(
            space.distributions,
            epochs=space.base.training.epochs,
            seed=_proposals_seed(seed),
            n_startup_trials=self.n_startup_trials,
        )


class Nsga2(Component):
    """Genetic algorithm for several aims (NSGA-II): a generation is bred from the best front of the one before."""

    name: Literal["nsga2"] = "nsga2"
    population_size: int = Field(default=16, ge=2)

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""
        size = self.population_size
        return PlacedSampler(lambda drawn: optuna.samplers.NSGAIISampler(seed=drawn, population_size=size), seed)


class Cmaes(Component):
    """CMA-ES over the numeric parameters; categorical ones are drawn at random."""

    name: Literal["cmaes"] = "cmaes"
    n_startup_trials: int = Field(default=1, ge=0)
    sigma0: float | None = Field(default=None, gt=0)

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return the sampler, which draws at random where a later round has nothing numeric left."""
        settings = self.model_dump(exclude={"name"})
        return PlacedSampler(lambda drawn: ReplayedCmaEs(seed=drawn, warn_independent_sampling=False, **settings), seed)

    def faults(self, space: SearchSpace) -> Iterator[str]:
        """Yield why it is no sampler for a study of this space."""
        if all(isinstance(parameter, Categorical) for parameter in space.parameters.values()):
            yield f"sampler: cmaes needs a float or int parameter, space {space.name} has none; use tpe or grid"


class Random(Component):
    """Independent uniform draws."""

    name: Literal["random"] = "random"

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""
        return PlacedSampler(lambda drawn: optuna.samplers.RandomSampler(seed=drawn), seed)


class Qmc(Component):
    """Quasi-random points, which fill the space more evenly than random ones.

    Optuna counts the points already taken in the study.
    """

    name: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"
    scramble: bool = True

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler."""
        with knowingly():
            return optuna.samplers.QMCSampler(
                seed=seed,
                qmc_type=self.sequence,
                scramble=self.scramble,
                warn_asynchronous_seeding=False,
                warn_independent_sampling=False,
            )


class Grid(Component):
    """Every combination of the choices and of ``points`` evenly spaced values per numeric parameter.

    The seed orders the grid, and Optuna remembers the points by their place in it.
    """

    name: Literal["grid"] = "grid"
    points: int = Field(default=3, ge=2)

    def build(self, space: SearchSpace, seed: int) -> BaseSampler:
        """Return Optuna's sampler over the space's grid."""
        axes = {path: self._axis(parameter) for path, parameter in space.parameters.items()}
        return _GridSampler(axes, seed=seed)

    def _axis(self, parameter: Parameter) -> list[Any]:
        if isinstance(parameter, Categorical):
            return list(parameter.named)
        low, high = parameter.low, parameter.last
        spread = np.geomspace if parameter.log else np.linspace
        values = [float(value) for value in spread(low, high, self.points)]
        values[0], values[-1] = low, high
        if parameter.step is not None and not parameter.log:
            values = [at_step(parameter, round((value - low) / parameter.step)) for value in values]
        if isinstance(parameter, Int):
            values = [round(value) for value in values]
        return sorted(set(values))


Sampler = Annotated[Tpe | Nsga2 | Gp | CurveGp | Cmaes | Random | Qmc | Grid, Field(discriminator="name")]
LEARN_OF_ENDED = ("tpe", "nsga2", "gp", "cmaes")
"""Samplers that learn, but nothing of a trial that is paused."""


def _proposals_seed(seed: int) -> int:
    digest = hashlib.sha256(f"hms_search sampler {seed} 0".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def exhausted(sampler: BaseSampler, study: optuna.Study) -> bool:
    """Say whether the sampler has nothing new to propose (a grid that is done)."""
    return isinstance(sampler, _GridSampler) and sampler.is_exhausted(study)


class _GridSampler(optuna.samplers.GridSampler):
    """Optuna's grid, its points in their order whatever was interrupted: Optuna's goes by the numbers of the trials.

    It does not call ``study.stop``, which exists only inside ``study.optimize``.
    """

    def is_exhausted(self, study: optuna.Study) -> bool:
        """Say whether every point was begun; Optuna gives those that still run to free workers, too.

        What is left by a worker that dies is queued again by the coordinator.
        """
        running = {
            trial.system_attrs.get("grid_id")
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if self._same_search_space(trial.system_attrs.get("search_space", {}))
        }
        return set(self._get_unvisited_grid_ids(study)) <= running

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Keep with the trial which point it takes, unless it was queued with its parameters."""
        if not trial.system_attrs.keys() & {"grid_id", "fixed_params"}:
            first = min(self._get_unvisited_grid_ids(study), default=0)
            study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
            study._storage.set_trial_system_attr(trial._trial_id, "grid_id", first)

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        return None
