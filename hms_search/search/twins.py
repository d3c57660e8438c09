"""Twins: trials of one experiment, so that what was trained to its end, or until it was stopped, is not trained again.

The experiments of thousands of trials are compared by their parameters as :class:`Spelling` writes them.
"""

from collections.abc import Hashable, Mapping
from functools import cache, partial
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.outcomes import PARAMS_KEY, SAME_KEY, carried_from
from hms_search.search.space import Scalar, value_at
from hms_search.search.spelling import spelling_of


class Twins:
    """The first trial of each experiment of a study's space, of those that have ended."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study.study_name
        self._first: dict[Hashable, FrozenTrial] = {}
        self._spelling = cache(partial(spelling_of, study._storage))
        self._fixed = cache(self._fixed_here)

    def of(self, params: Mapping[str, Any]) -> FrozenTrial | None:
        """Return the first trial that ran the experiment of these parameters, None where none did."""
        return self._first.get(self._key(params))

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial that has ended."""
        if trial.state != TrialState.FAIL and SAME_KEY not in trial.user_attrs and self._is_of_this_space(trial):
            self._first.setdefault(self._key(trial.params), trial)

    def _key(self, params: Mapping[str, Any]) -> Hashable:
        spelling = self._spelling(self._study)
        return frozenset((params if spelling is None else spelling.spelt(params)).items())

    def _is_of_this_space(self, trial: FrozenTrial) -> bool:
        """Say whether a trial ran the experiment that its parameters stand for here.

        A carried one may have had other values of what its own study varied and this one does not.
        """
        origin, ran = carried_from(trial), trial.user_attrs.get(PARAMS_KEY, trial.params)
        if origin is None:
            return True
        theirs = self._spelling(origin[0])
        if theirs is None:
            return self._key(ran) == self._key(trial.params)
        fixed = self._fixed(origin[0])
        return fixed is not None and fixed.items() <= theirs.spelt(ran).items()

    def _fixed_here(self, origin: str) -> Mapping[str, Scalar] | None:
        """Return what this study fixes of what another one varies, in its words; None where it never had that."""
        ours, theirs = self._spelling(self._study), self._spelling(origin)
        if ours is None or theirs is None:
            return None
        varied = theirs.parameters.keys() | ours.parameters.keys()
        if ours.base_beside(varied) != theirs.base_beside(varied):
            return None
        try:
            return {path: theirs.name_of(path, value_at(ours.base, path)) for path in varied - ours.parameters.keys()}
        except LookupError:
            return None
