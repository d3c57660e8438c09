"""Contenders: who is good enough on the folds so far for another fold to be worth its epochs."""

from collections import Counter
from math import ceil
from typing import Literal

from hms_search.search.racing import Losses
from hms_search.search.trial import Ending
from hms_search.training.steps import Steps


class Contenders:
    """Says after each fold but the last which trials go on: see :class:`hms_search.search.schedules.Adaptive`.

    What it has seen counts, not the order in which it was seen. A trial that was interrupted is forgotten: when it is
    run again, under another number, its ends are told again.
    """

    def __init__(self, steps: Steps, keep: float, direction: Literal["minimize", "maximize"]) -> None:
        self._steps, self._keep = steps, keep
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._running: dict[int, dict[int, float]] = {}
        self._ends: dict[int, dict[int, float]] = {}
        self._stopped: Counter[int] = Counter()

    def epoch_ended(self, number: int, step: int, value: float, losses: Losses | None = None) -> bool:  # noqa: ARG002
        """Take in one epoch of a trial; return whether it is the end of a fold and the trial is no contender."""
        values = self._running.setdefault(number, {})
        values[step] = value
        if not self._steps.ends_fold(step):
            return False
        seen = self._ends.setdefault(self._steps.place(step).position, {})
        loss = seen[number] = self._sign * self._steps.mean(values, step)
        n_trials = len(seen) + self._stopped[self._steps.place(step).position]
        return sum(other < loss for other in seen.values()) >= ceil(self._keep * n_trials)

    def record(self, number: int, step: int, value: float) -> None:
        """Take in one epoch that was judged before."""
        self.epoch_ended(number, step, value)

    def trial_ended(self, number: int, outcome: Ending) -> None:
        """Take in that a trial will not go on: one that was stopped in a fold is behind all that came to its end."""
        last = max(self._running.pop(number, {}), default=None)
        if outcome == "interrupted":
            for seen in self._ends.values():
                seen.pop(number, None)
        if outcome == "pruned" and last is not None and not self._steps.ends_fold(last):
            self._stopped[self._steps.place(last).position] += 1
