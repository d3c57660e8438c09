"""The curves of one fold, as Optuna's pruners look at them."""

from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState


class FoldCurves(optuna.storages.InMemoryStorage):
    """A study in memory with a curve per trial; the whole ones, which pruners ask for at every epoch, are in a list."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: list[FrozenTrial] = []

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End a curve."""
        done = super().set_trial_state_values(trial_id, state, values)
        if done and state == TrialState.COMPLETE:
            self._whole.append(self.get_trial(trial_id))
        return done

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the curves, or those that ended so."""
        if states == (TrialState.COMPLETE,) and not deepcopy:
            return self._whole
        return super().get_all_trials(study_id, deepcopy, states)
