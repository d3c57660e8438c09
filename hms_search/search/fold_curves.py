"""The curves of one fold, as Optuna's pruners look at them."""

from collections.abc import Container, Sequence
from heapq import heappop, heappush

import optuna
from optuna.trial import FrozenTrial, TrialState


class FoldCurves(optuna.storages.InMemoryStorage):
    """A study in memory with a curve per trial; the whole ones, which pruners ask for at every epoch, are in a list."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: list[FrozenTrial] = []
        self._forgotten: set[int] = set()
        self._free: list[int] = []
        """The numbers of forgotten curves that no other has yet: Hyperband's brackets follow from numbers."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Begin a curve, under the number of one that was forgotten if there is such."""
        trial_id = super().create_new_trial(study_id, template_trial)
        curve = self.get_trial(trial_id)
        curve.number = heappop(self._free) if self._free else curve.number - len(self._forgotten)
        return trial_id

    def forget(self, trial_id: int) -> None:
        """Leave a curve out from now on, whole or not."""
        self._forgotten.add(trial_id)
        heappush(self._free, self.get_trial(trial_id).number)
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
