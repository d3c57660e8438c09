"""Stages: training on some rows first and on others later, as one run of epochs numbered throughout.

``[{epochs: 2, lr: 1.0e-5, scheduler: {name: constant}}, {rows: high}]`` is the 15th place's way, ``[{epochs: 32},
{rows: high}]`` the 4th's. The network and the optimiser's moments go on from stage to stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from pydantic import Field
from torch import optim

from hms_search.component import Component
from hms_search.training.schedulers import Schedule, Scheduler
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
    """

    epochs: int | None = Field(None, ge=1)
    rows: Literal["all", "high", "low"] = "all"
    min_votes: int = Field(1, ge=1)
    lr: float | None = Field(None, gt=0)
    scheduler: Scheduler | None = None
    weights: RowWeights | None = None

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


class StagedSchedule:
    """Sets an optimiser's learning rate before every batch, by the schedule of the epoch's stage."""

    def __init__(self, spans: Sequence[Span], scheduler: Scheduler, optimiser: optim.Optimizer) -> None:
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

    def set(self, epoch: int, batch: int, batches: int) -> float:
        """Set the rates for a batch, one of the epoch's ``batches``, and return the first parameter group's."""
        schedule, own_epoch = self._places[epoch]
        return schedule.set(own_epoch, batch, batches)

    def epoch_ended(self, epoch: int, *, train: float, validation: float) -> None:
        """Take note of an epoch's losses, for the schedule that it ran under."""
        self._places[epoch][0].epoch_ended(train=train, validation=validation)
