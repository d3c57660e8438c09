"""Steps: the order in which the epochs of an experiment's folds run, and what can be compared on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hms_search.data.fold_words import Order


class Place(NamedTuple):
    """An epoch of a fold, both counted from 0; a fold goes by its position among the folds in use."""

    position: int
    epoch: int


@dataclass(frozen=True)
class Steps:
    """The epochs of all folds, numbered from 0 in the order they run: ``len(steps)`` in all.

    All trials of a study have the same steps, so at equal steps they have trained the same folds for as long.
    """

    n_folds: int
    epochs: int
    order: Order = "sequential"

    def __len__(self) -> int:
        """Return how many epochs a whole experiment has."""
        return self.n_folds * self.epochs

    def place(self, step: int) -> Place:
        """Return which epoch of which fold a step is."""
        if self.order == "sequential":
            return Place(*divmod(step, self.epochs))
        epoch, position = divmod(step, self.n_folds)
        return Place(position, epoch)

    def at(self, position: int, epoch: int) -> int:
        """Return the step at which a fold has its epoch."""
        if self.order == "sequential":
            return position * self.epochs + epoch
        return epoch * self.n_folds + position

    def latest(self, step: int) -> tuple[int, ...]:
        """Return the last step of each fold that has begun at a step, by position."""
        position, epoch = self.place(step)
        if self.order == "sequential":
            return (*(self.at(done, self.epochs - 1) for done in range(position)), step)
        before = range(position + 1, self.n_folds) if epoch else ()
        return (*(self.at(one, epoch) for one in range(position + 1)), *(self.at(one, epoch - 1) for one in before))

    def mean(self, values: Mapping[int, float], step: int) -> float:
        """Return the mean over the folds that have begun at a step of the latest value of each."""
        latest = self.latest(step)
        return sum(values[one] for one in latest) / len(latest)

    def ends_fold(self, step: int) -> bool:
        """Say whether a fold is done at a step while others have not begun."""
        return self.order == "sequential" and (step + 1) % self.epochs == 0 and step + 1 < len(self)

    @property
    def n_curves(self) -> int:
        """How many learning curves a trial has: of each fold, or of the mean over folds."""
        return self.n_folds if self.order == "sequential" else 1

    def curve_at(self, step: int) -> Place | None:
        """Return of which curve a step is which point, in place of a fold; None where it is a point of none.

        The epochs of a fold that runs alone are its curve. Of folds that are interleaved, the curve is that of their
        :meth:`mean`, with a point wherever all have come equally far: a fold's difficulty is in all points alike.
        """
        place = self.place(step)
        if self.order == "sequential":
            return place
        return Place(0, place.epoch) if place.position + 1 == self.n_folds else None

    def point(self, values: Mapping[int, float], step: int) -> float:
        """Return the value of the curve of :meth:`curve_at` at a step."""
        return values[step] if self.order == "sequential" else self.mean(values, step)
