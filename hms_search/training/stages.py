"""Stages: training on some rows first and on others later, as one run of epochs numbered throughout.

``[{epochs: 2, rows: low, lr: 1.0e-5, scheduler: {name: constant}}, {rows: high, fresh_optimiser: true}]`` is the 15th
place's way, ``[{epochs: 32}, {rows: high}]`` the 4th's. The network goes on from stage to stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field
from torch import optim

from hms_search.component import Component
from hms_search.training.averaging import Swa
from hms_search.training.schedulers import Constant, Schedule, Scheduler
from hms_search.training.weights import RowWeights


class Stage(Component):
    """Some epochs on some of the training rows.

    Attributes
    ----------
    epochs
        How many; null in one stage: all of ``training.epochs`` that the other stages leave.
    rows, min_votes
        The stratum to train on, and the least number of votes of its rows.
    lr, scheduler
        Where one of them is given, the stage has a schedule of its own over its own epochs; what is null is
        training's. The stages without either share training's schedule, which runs over their epochs together.
    weights
        The stage's own weights of rows; training's where null.
    fresh_optimiser
        Whether the optimiser's moments and steps count from the stage's beginning, as in a training of its own, or go
        on from the stage before.
    """

    epochs: int | None = Field(None, ge=1)
    rows: Literal["all", "high", "low"] = "all"
    min_votes: int = Field(1, ge=1)
    lr: float | None = Field(None, gt=0)
    scheduler: Scheduler | None = None
    weights: RowWeights | None = None
    fresh_optimiser: bool = False

    @property
    def has_own_schedule(self) -> bool:
        """Whether training's schedule does not run here."""
        return self.lr is not None or self.scheduler is not None

    def contains(self, n_votes: Int[np.ndarray, " rows"], high: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
        """Return which rows the stage trains on."""
        in_stratum = {"all": np.ones_like(high), "high": high, "low": ~high}[self.rows]
        return in_stratum & (n_votes >= self.min_votes)


@dataclass(frozen=True)
class Span:
    """The epochs of a stage: ``first`` and the ones after it."""

    stage: Stage
    first: int
    epochs: int


def spans_of(stages: Sequence[Stage], epochs: int) -> tuple[Span, ...]:
    """Return which epochs each stage has, of ``epochs`` in all; without stages there is one, over all rows.

    Raises ValueError where the stages do not add up to the epochs.
    """
    stages = stages or (Stage(),)
    open_stages = sum(stage.epochs is None for stage in stages)
    given = sum(stage.epochs or 0 for stage in stages)
    if open_stages > 1:
        raise ValueError(f"stages: epochs may be left out of one stage, found {open_stages} without; give the others")
    if given >= epochs if open_stages else given != epochs:
        least = f"{given} and one open" if open_stages else str(given)
        raise ValueError(
            f"stages: their epochs must add up to training.epochs, found {least} with epochs {epochs}; "
            "change either, or leave the epochs of one stage out: it takes what the others leave"
        )
    lengths = [stage.epochs or epochs - given for stage in stages]
    firsts = np.cumsum([0, *lengths[:-1]]).tolist()
    return tuple(Span(*span) for span in zip(stages, firsts, lengths, strict=True))


def begins_afresh(spans: Sequence[Span], epoch: int) -> bool:
    """Return whether a stage with a fresh optimiser begins with an epoch."""
    return any(span.first == epoch and span.stage.fresh_optimiser for span in spans)


class StagedSchedule:
    """Sets an optimiser's learning rate before every step, by the schedule of the epoch's stage.

    A constant rate of ``swa`` takes the schedules' place from its first epoch on.
    """

    def __init__(
        self, spans: Sequence[Span], scheduler: Scheduler, optimiser: optim.Optimizer, *, swa: Swa | None = None
    ) -> None:
        shared = Schedule(
            scheduler, optimiser, epochs=sum(span.epochs for span in spans if not span.stage.has_own_schedule)
        )
        self._places: list[tuple[Schedule, int]] = []
        behind = 0
        for span in spans:
            stage = span.stage
            if stage.has_own_schedule:
                own = Schedule(stage.scheduler or scheduler, optimiser, epochs=span.epochs, lr=stage.lr)
                self._places += [(own, epoch) for epoch in range(span.epochs)]
            else:
                self._places += [(shared, behind + epoch) for epoch in range(span.epochs)]
                behind += span.epochs
        if swa is not None and swa.lr is not None:
            left = len(self._places) - swa.start
            constant = Schedule(Constant(), optimiser, epochs=left, lr=swa.lr)
            self._places[swa.start :] = [(constant, epoch) for epoch in range(left)]

    def set(self, epoch: int, step: int, steps: int) -> float:
        """Set the rates for a step, one of the epoch's ``steps``, and return the rate of what is not scaled."""
        schedule, own_epoch = self._places[epoch]
        return schedule.set(own_epoch, step, steps)

    def epoch_ended(self, epoch: int, *, train: float, validation: float) -> None:
        """Take note of an epoch's losses, for the schedule that it ran under."""
        self._places[epoch][0].epoch_ended(train=train, validation=validation)
