"""Schedules: in which order the folds of a trial run, and which trials run all of them."""

from typing import Annotated, Literal

from pydantic import Field

from hms_search.component import Component
from hms_search.data.folds import Order


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
