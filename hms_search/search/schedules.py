"""Schedules: in which order the folds of a trial run, and which trials run all of them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from hms_search.component import Component
from hms_search.data.fold_words import Order
from hms_search.search.halving import PausingHalving
from hms_search.search.pruners import Pruner
from hms_search.search.samplers import CurveGp, Sampler


class Sequential(Component):
    """One fold after the other. At equal steps trials are compared within a fold."""

    name: Literal["sequential"] = "sequential"

    @property
    def order(self) -> Order:
        """The order of the folds' epochs."""
        return "sequential"


class Interleaved(Component):
    """Epoch by epoch over the folds, so that the mean over folds is known early; pruners compare that.

    The folds' networks and optimisers are in memory together.
    """

    name: Literal["interleaved"] = "interleaved"

    @property
    def order(self) -> Order:
        """The order of the folds' epochs."""
        return "interleaved"


class Adaptive(Component):
    """One fold after the other, and after each only contenders go on.

    A contender's mean over its folds so far is among the best ``keep`` of the trials that came to that fold's end or
    were stopped in it; the pruner decides besides. The others end as pruned, with the values of the folds they ran. The
    pruner's floor and audit hold: some go on although they are no contenders.
    """

    name: Literal["adaptive"] = "adaptive"
    keep: float = Field(default=0.5, gt=0, lt=1)

    @property
    def order(self) -> Order:
        """The order of the folds' epochs."""
        return "sequential"


Schedule = Annotated[Sequential | Interleaved | Adaptive, Field(discriminator="name")]
"""When the folds of a trial are trained."""


def schedule_faults(schedule: Schedule, pruner: Pruner, sampler: Sampler, *, n_folds: int) -> Iterator[str]:
    """Yield what does not fit a schedule."""
    if isinstance(schedule, Adaptive) and isinstance(pruner, PausingHalving):
        yield "schedule adaptive and pruner pausing_halving both say who goes on; use schedule interleaved"
    if isinstance(schedule, Adaptive) and n_folds == 1:
        yield "schedule adaptive decides between folds, found one fold in use; use schedule sequential"
    if isinstance(schedule, Interleaved) and isinstance(sampler, CurveGp) and n_folds > 1:
        yield "sampler curve_gp learns from a fold that runs alone; use sampler tpe, or schedule sequential"
