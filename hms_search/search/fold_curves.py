"""The curves of one fold, as Optuna's pruners look at them."""

from collections.abc import Container, Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState


class FoldCurves(optuna.storages.InMemoryStorage):
    """A study in memory with a curve per trial; the whole ones, which pruners ask for at every epoch, are in a list."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: list[FrozenTrial] = []
        self._forgotten: set[int] = set()

    def forget(self, trial_id: int) -> None:
        """Leave a curve out from now on, whole or not."""
        self._forgotten.add(trial_id)
        self._whole = [curve for curve in self._whole if curve._trial_id != trial_id]

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """End a curve."""
        done = super().set_trial_state_values(trial_id, state, values)
        if done and state == TrialState.COMPLETE:
            self._whole.append(self.get_trial(trial_id))
        return done

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the curves, or those that ended so; none that was forgotten."""
        if states == (TrialState.COMPLETE,) and not deepcopy:
            return self._whole
        curves = super().get_all_trials(study_id, deepcopy, states)
        return [curve for curve in curves if curve._trial_id not in self._forgotten] if self._forgotten else curves
