"""Draws that follow from a study's seed and a trial's place in it, whatever sessions ran the trials before it.

A session that takes up one that was killed draws what that one would have drawn.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.outcomes import is_evidence, origin_of

_GENERATION = ":generation"
"""How the names end under which genetic algorithms keep of which generation a trial was proposed."""


class Places:
    """The places of a study's trials among those begun first: what only repeats an interrupted one has none of its own.

    Each trial is looked at once, when a later one is asked for.
    """

    def __init__(self) -> None:
        self._n_read = 0
        self._without: list[int] = []

    def of(self, number: int, trials: Sequence[FrozenTrial]) -> int:
        """Return how many of a study's ``trials`` were begun before one of them, or before the one that it repeats.

        What was begun since they were read, as that one itself may have been, is no repetition.
        """
        for one in trials[self._n_read : number]:
            following = trials[one.number + 1] if one.number + 1 < len(trials) else None
            if origin_of(one) != one.number or _is_void(one, following):
                self._without.append(one.number)
        self._n_read = max(self._n_read, number)
        origin = origin_of(trials[number]) if number < len(trials) else number
        return origin - bisect_left(self._without, origin)


class PlacedSampler(BaseSampler):
    """A sampler of Optuna's that is made anew for every trial.

    Parameters
    ----------
    make
        Returns the sampler for a seed; what it learns it reads from the study.
    seed
        The study's.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.trials_before: Callable[[int], Sequence[FrozenTrial]] | None = None
        """Returns the trials of the study before one of them, where somebody knows them; else they are read."""
        self._make, self._seed = make, seed
        self._places = Places()
        self._lasting = make(seed)
        """It knows the space, which takes long to find out; nothing is drawn from it."""
        self._drawing: tuple[int, BaseSampler] = (-1, self._lasting)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together."""
        return self._lasting.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of a new trial that are drawn together."""
        return self._of(trial, study).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a parameter that is drawn alone."""
        return self._of(trial, study).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Let the sampler take in that a trial begins; one that repeats another is of the generation of that one."""
        self._lasting.before_trial(study, trial)
        if (origin := origin_of(trial)) != trial.number:
            for key, value in self._known(study, trial)[origin].system_attrs.items():
                if key.endswith(_GENERATION):
                    study._storage.set_trial_system_attr(trial._trial_id, key, value)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler take in how a trial ended."""
        self._lasting.after_trial(study, trial, state, values)

    def _of(self, trial: FrozenTrial, study: optuna.Study) -> BaseSampler:
        """Return the sampler that draws a trial's parameters, one after the other."""
        number, sampler = self._drawing
        if number != trial.number:
            place = self._places.of(trial.number, self._known(study, trial))
            sampler = self._make(seed_at(self._seed, place))
            self._drawing = trial.number, sampler
        return sampler

    def _known(self, study: optuna.Study, trial: FrozenTrial) -> Sequence[FrozenTrial]:
        known = self.trials_before
        return study.get_trials(deepcopy=False) if known is None else known(trial.number)


def seed_at(seed: int, place: int) -> int:
    """Return the 32-bit seed of what a trial at a place draws."""
    digest = hashlib.sha256(f"hms_search draws {seed} {place}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _is_void(trial: FrozenTrial, following: FrozenTrial | None) -> bool:
    """Say whether a trial was interrupted before it had parameters, so that the next one is asked for in its place.

    The next one has yet to begin where it is unknown.
    """
    known = trial.params or "fixed_params" in trial.system_attrs  # of a trial that was queued: it is queued again
    if known or trial.state != TrialState.FAIL or is_evidence(trial):
        return False
    ended, begun = trial.datetime_complete, None if following is None else following.datetime_start
    return begun is None or (ended is not None and ended <= begun)
