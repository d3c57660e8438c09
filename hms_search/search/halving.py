"""Asynchronous successive halving that pauses trials and goes on with the best of them, instead of ending the others.

A trial trains in steps (an epoch of a fold is one). At certain steps, the *rungs*, it pauses, its checkpoint kept. A
free worker goes on with a paused trial that is among the best 1/``reduction_factor`` of its rung, the highest rung
first; where there is none it starts a new trial. Nothing is trained twice, and no trial is stopped for good before the
study ends: when many others turn out worse, a paused trial becomes one of the best and goes on. After Li et al. 2020,
"A system for massively parallel hyperparameter tuning" (ASHA).

Some trials do not pause. A sampler that has seen enough proposes what ends best, which is not what begins best, and
learns of the end from finished trials alone; and those that would have paused show how often a pause is wrong.

The rules read no clock, no file and no history but what they are told, so that the same reports lead to the same
decisions after a resumption.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil, isnan
from typing import Literal

import numpy as np
from pydantic import Field

from hms_search.component import Component

_FIRST_STRAIGHT = 8


class PausingHalving(Component):
    """Train every trial a little, and go on with the best; the others pause and may go on later.

    The share ``straight`` of the trials, at equal distances, is trained to the end without a pause, not counting the
    first ones, of which a sampler knows nothing. ``floor`` is the least share that reaches the end, one at least. The
    baseline does not pause, takes nobody's place, and is none of the floor.
    """

    name: Literal["pausing_halving"] = "pausing_halving"
    min_epochs: int = Field(default=2, ge=1)
    reduction_factor: int = Field(default=4, ge=2)
    straight: float = Field(default=0.125, ge=0, le=1)
    floor: float = Field(default=0.02, ge=0, le=1)

    def rungs(self, total_steps: int) -> tuple[int, ...]:
        """Return the steps at which trials pause, the last is their end.

        They grow by ``reduction_factor`` up to the end, so that the last leg is not shorter than the others.
        """
        steps = [total_steps]
        while round(steps[-1] / self.reduction_factor) >= self.min_epochs:
            steps.append(round(steps[-1] / self.reduction_factor))
        return tuple(reversed(steps))


@dataclass(frozen=True)
class Start:
    """Start a new trial and train it until step ``until``, unless it is one that does not pause."""

    until: int


@dataclass(frozen=True)
class Resume:
    """Go on with the paused trial ``number`` until step ``until``."""

    number: int
    until: int


@dataclass(frozen=True)
class Audit:
    """A straight trial that would have stayed paused after ``step``, with its value at the end.

    The pause would have been ``wrong`` where the trial ends better than all that reached the end by merit.
    """

    number: int
    step: int
    value: float
    wrong: bool


class Scheduler:
    """Says what a free worker does next.

    Parameters
    ----------
    config
        The rules.
    total_steps
        Steps of a whole trial.
    direction
        Which way values are better.
    """

    def __init__(self, config: PausingHalving, total_steps: int, direction: Literal["minimize", "maximize"]) -> None:
        self._config = config
        self._sign = 1.0 if direction == "minimize" else -1.0
        self.rungs = config.rungs(total_steps)
        self._losses: list[dict[int, float]] = [{} for _ in self.rungs]
        self._gone: set[int] = set()
        self._exempt: set[int] = set()
        self._places: dict[int, int] = {}

    def next(
        self,
        running: Collection[int],
        *,
        may_start: bool = True,
        may_promote: bool = True,
        away: Collection[int] = (),
    ) -> Resume | Start | None:
        """Return what a free worker does now, while the trials ``running`` are being trained; None: nothing is left.

        The paused trials that are ``away`` are ranked, but cannot be gone on with here.

        With ``may_start`` false, because the study's budget of trials is spent, paused trials go on until nothing is
        promoted any more and the floor holds. With ``may_promote`` false too, because the study has done enough, until
        the floor holds.
        """
        for rung in reversed(range(len(self.rungs) - 1)) if may_promote else ():
            number = self._to_go_on(rung, running, away)
            if number is not None:
                return Resume(number, self.rungs[rung + 1])
        if self._owes_an_end(running, may_start):
            number = self._best_paused({*running, *away})
            if number is not None:
                return Resume(number, self.rungs[-1])
        return Start(self.rungs[0]) if may_start else None

    def is_straight(self, number: int) -> bool:
        """Say whether a trial is one that does not pause."""
        share, place = self._config.straight, self._place_of(number)
        return place >= _FIRST_STRAIGHT and int((place + 1) * share) > int(place * share)

    def place(self, number: int, place: int) -> None:
        """Take in the place of a trial, which says whether it is straight; one that repeats another has that one's."""
        self._places[number] = place

    def exempt(self, number: int) -> None:
        """Take in that a trial is not paused whatever it comes to: the baseline."""
        self._exempt.add(number)

    def reached(self, number: int, step: int, value: float) -> None:
        """Take in a trial's value at a step; between two rungs it is of no consequence."""
        if step in self.rungs:
            self._losses[self.rungs.index(step)][number] = _loss(self._sign * value)

    def failed(self, number: int) -> None:
        """Take in that a trial diverged or broke down: it counts as the worst of the rung it was heading for."""
        heading_for = min(self._rung_of(number) + 1, len(self.rungs) - 1)
        self._losses[heading_for][number] = np.inf
        self._gone.add(number)

    def forget(self, number: int) -> None:
        """Take in that a trial was interrupted: another one goes on in its place, and reports all it had reached."""
        for losses in self._losses:
            losses.pop(number, None)

    def ended(self, number: int) -> None:
        """Take in that a trial will not go on, whatever its values: somebody else stopped it."""
        self._gone.add(number)

    @property
    def paused(self) -> tuple[int, ...]:
        """The trials that reached a rung but not the end, in the order of their numbers; some may be running again."""
        return tuple(sorted(number for number in self._losses[0] if self._may_go_on(number, ())))

    @property
    def finished(self) -> tuple[int, ...]:
        """The trials that reached the end, in the order of their numbers."""
        return tuple(sorted(number for number, loss in self._losses[-1].items() if loss < np.inf))

    @property
    def audits(self) -> tuple[Audit, ...]:
        """The straight trials that would not have reached the end, with what they say about pausing."""
        stayed = {number: self._stays_at(number) for number in self.finished if self.is_straight(number)}
        by_merit = [loss for number, loss in self._losses[-1].items() if stayed.get(number) is None]
        best = min(by_merit, default=np.inf)
        return tuple(
            Audit(number, step, self._sign * self._losses[-1][number], self._losses[-1][number] < best)
            for number, step in stayed.items()
            if step is not None
        )

    # --- who goes on -------------------------------------------------------------------------------------------------

    def _to_go_on(self, rung: int, running: Collection[int], away: Collection[int]) -> int | None:
        """Return the best trial of a rung that has not gone on, if one more may; one that does not pause may always.

        As many go on as the share of those that reached the rung. ASHA lets all go on that are among that share at any
        time: more than the share, where a sampler learns and later trials are better than earlier ones.
        """
        waiting = [number for number in self._ranked(rung) if number not in self._losses[rung + 1]]
        waiting = [number for number in waiting if self._may_go_on(number, running)]
        gone_on = [number for number in self._losses[rung] if number in self._losses[rung + 1] or number in running]
        n_free = self._n_kept(rung) - sum(self._pauses(number) for number in gone_on)
        chosen = [number for place, number in enumerate(waiting) if place < n_free or not self._pauses(number)]
        return next((number for number in chosen if number not in away), None)

    def _ranked(self, rung: int) -> list[int]:
        losses = self._losses[rung]
        return sorted(losses, key=lambda number: (losses[number], self._place_of(number)))

    def _place_of(self, number: int) -> int:
        return self._places.get(number, number)

    def _n_kept(self, rung: int) -> int:
        return len(self._losses[rung]) // self._config.reduction_factor

    def _may_go_on(self, number: int, running: Collection[int]) -> bool:
        rung = self._rung_of(number)
        sound = rung < 0 or self._losses[rung][number] < np.inf
        return sound and rung + 1 < len(self.rungs) and number not in self._gone and number not in running

    def _pauses(self, number: int) -> bool:
        return number not in self._exempt and not self.is_straight(number)

    def _rung_of(self, number: int) -> int:
        """Return the highest rung a trial has reached, -1 for none."""
        return max((rung for rung, losses in enumerate(self._losses) if number in losses), default=-1)

    # --- floor and what pauses cost ----------------------------------------------------------------------------------

    def _owes_an_end(self, running: Collection[int], may_start: bool) -> bool:
        """Say whether fewer trials than the floor have reached the end or are in the last leg."""
        share = self._config.floor * len(self._losses[0].keys() - self._exempt)
        last_leg = [number for number in running if self._rung_of(number) == len(self.rungs) - 2]
        coming = {*self.finished, *last_leg} - self._exempt
        return len(coming) < (int(share) if may_start else max(1, ceil(share)))

    def _best_paused(self, running: Collection[int]) -> int | None:
        for rung in reversed(range(len(self.rungs) - 1)):
            for number in self._ranked(rung):
                if self._rung_of(number) == rung and self._may_go_on(number, running):
                    return number
        return None

    def _stays_at(self, number: int) -> int | None:
        """Return the first step at which a trial is not among the best of its rung; None: it has merit everywhere."""
        for rung, step in enumerate(self.rungs[:-1]):
            if number not in self._ranked(rung)[: self._n_kept(rung)]:
                return step
        return None


def _loss(value: float) -> float:
    return np.inf if isnan(value) else value
