"""Weights of rows in the training loss: votes of many experts may count more than those of a few.

The loss of a batch is the sum of weight x KL over its rows, divided by the number of rows (15th place), so weights
above 1 also lengthen the steps. Validation never weighs.
"""

import math
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from hms_search.component import Component

Weight = Annotated[float, Field(gt=0)]

FEW_VOTES, SOME_VOTES = 2, 8
"""The upper ends of the 3rd place's first two ranges of votes."""


class Unweighted(Component):
    """Every row counts alike."""

    name: Literal["none"] = "none"

    def of(
        self,
        n_votes: Int[np.ndarray, " rows"],
        high: Bool[np.ndarray, " rows"],  # noqa: ARG002 - one signature for all members
        done: float,  # noqa: ARG002
    ) -> Float[np.ndarray, " rows"]:
        """Return the weight of each row."""
        return np.ones(len(n_votes))


class LogVotes(Component):
    """ln(votes + 1) / ln 3: 1 for two votes, 2.18 for ten, 2.77 for twenty (15th place)."""

    name: Literal["votes"] = "votes"

    def of(
        self,
        n_votes: Int[np.ndarray, " rows"],
        high: Bool[np.ndarray, " rows"],  # noqa: ARG002
        done: float,  # noqa: ARG002
    ) -> Float[np.ndarray, " rows"]:
        """Return the weight of each row."""
        return np.asarray(np.log1p(n_votes) / math.log(3))


class LinearVotes(Component):
    """votes / ``divisor`` (2nd place, first stage: 20)."""

    name: Literal["linear"] = "linear"
    divisor: Weight = 20.0

    def of(
        self,
        n_votes: Int[np.ndarray, " rows"],
        high: Bool[np.ndarray, " rows"],  # noqa: ARG002
        done: float,  # noqa: ARG002
    ) -> Float[np.ndarray, " rows"]:
        """Return the weight of each row."""
        return n_votes / self.divisor


class Low(Component):
    """``weight`` for rows of the LOW stratum, 1 for the others (5th place: 0.25)."""

    name: Literal["low"] = "low"
    weight: Weight = 0.25

    def of(
        self,
        n_votes: Int[np.ndarray, " rows"],  # noqa: ARG002
        high: Bool[np.ndarray, " rows"],
        done: float,  # noqa: ARG002
    ) -> Float[np.ndarray, " rows"]:
        """Return the weight of each row."""
        return np.where(high, 1.0, self.weight)


class Ranges(Component):
    """A weight for 0-2, 3-8 and more votes; the first two fade as training goes on (3rd place).

    In epoch e = 0, 1, ... the first two are w (1 - ``decay`` e / epochs), but at least ``floor``.
    """

    name: Literal["ranges"] = "ranges"
    weights: tuple[Weight, Weight, Weight] = (0.3, 0.5, 1.0)
    decay: float = Field(1.2, ge=0)
    floor: Weight = 0.02

    def of(
        self,
        n_votes: Int[np.ndarray, " rows"],
        high: Bool[np.ndarray, " rows"],  # noqa: ARG002
        done: float,
    ) -> Float[np.ndarray, " rows"]:
        """Return the weight of each row."""
        few, some = (max(weight * (1 - self.decay * done), self.floor) for weight in self.weights[:2])
        return np.select([n_votes <= FEW_VOTES, n_votes <= SOME_VOTES], [few, some], self.weights[2])


RowWeights = Annotated[Unweighted | LogVotes | LinearVotes | Low | Ranges, Field(discriminator="name")]
"""Every way to weigh rows by ``n_votes``, stratum and the share of epochs that are ``done``.

Where a sample sums the votes of several rows of ``train.csv``, ``n_votes`` is that sum. A new member is a class here
and its place in this union.
"""
