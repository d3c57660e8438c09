"""Coordinates: configurations as rows of numbers from 0 to 1, which a sampler draws, moves and measures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hms_search.search.space import placed

Rows = Float[np.ndarray, "rows parameters"]

_FINE = 30
"""Steps in a range from which on they are as good as none."""


class Coordinates:
    """A place for each configuration of a space: a number goes by its own scale, a choice by its position.

    A row is *settled* where each of its numbers stands for a value the parameter can take.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self._axes = {name: _axis(distribution) for name, distribution in distributions.items()}

    def __len__(self) -> int:
        return len(self._axes)

    @property
    def fine(self) -> Bool[np.ndarray, " parameters"]:
        """Say of each parameter whether its values are so dense that one can go up a slope along it."""
        return np.array([axis.fine for axis in self._axes.values()])

    def row(self, params: Mapping[str, Any]) -> Float[np.ndarray, " parameters"] | None:
        """Return the place of a configuration; None where a parameter is missing or has a choice unknown here."""
        if any(name not in params or not axis.knows(params[name]) for name, axis in self._axes.items()):
            return None
        return np.array([axis.place(params[name]) for name, axis in self._axes.items()])

    def params(self, row: Float[np.ndarray, " parameters"]) -> dict[str, Any]:
        """Return the configuration at a place."""
        return {name: axis.value(float(place)) for (name, axis), place in zip(self._axes.items(), row, strict=True)}

    def drawn(self, n: int, rng: np.random.Generator) -> Rows:
        """Return ``n`` settled rows, uniform in each parameter's scale."""
        return self.settled(rng.random((n, len(self))))

    def near(
        self, rows: Rows, n: int, spread: float, rng: np.random.Generator
    ) -> Float[np.ndarray, "neighbours parameters"]:
        """Return ``n`` settled rows near each of ``rows``: about half of the parameters moved, a choice drawn anew."""
        centres = np.repeat(rows, n, axis=0)
        moved = centres + rng.normal(0.0, spread, centres.shape)
        anew = np.array([isinstance(axis, _Choices) for axis in self._axes.values()])
        moved = np.where(anew, rng.random(centres.shape), np.clip(moved, 0.0, 1.0))
        share = np.where(anew, min(0.5, 1 / len(self)), 0.5)
        return self.settled(np.where(rng.random(centres.shape) < share, moved, centres))

    def settled(self, rows: Rows) -> Rows:
        """Return for each row the nearest that is settled."""
        return np.stack([axis.settled(rows[:, position]) for position, axis in enumerate(self._axes.values())], axis=1)

    def features(self, rows: Rows) -> Float[np.ndarray, "rows features"]:
        """Return rows as a model measures distances: choices are all equally far from each other."""
        columns = [axis.features(rows[:, position]) for position, axis in enumerate(self._axes.values())]
        return np.concatenate(columns, axis=1)


Column = Float[np.ndarray, " rows"]


class _Numbers:
    """A numeric parameter, in logarithms where it says so."""

    def __init__(self, distribution: FloatDistribution | IntDistribution) -> None:
        self._of = distribution
        low, high = self._scaled(np.array([distribution.low, distribution.high], dtype=float))
        self._low, self._span = float(low), float(high - low) or 1.0
        self.fine = distribution.step is None or (distribution.high - distribution.low) / distribution.step >= _FINE

    def knows(self, value: object) -> bool:
        return isinstance(value, int | float)

    def place(self, value: Any) -> float:
        return (float(self._scaled(np.array([float(value)]))[0]) - self._low) / self._span

    def value(self, place: float) -> float | int:
        value = float(self._values(np.array([place]))[0])
        return round(value) if isinstance(self._of, IntDistribution) else placed(self._of, value)

    def settled(self, places: Column) -> Column:
        return (self._scaled(self._values(places)) - self._low) / self._span

    def features(self, places: Column) -> Float[np.ndarray, "rows 1"]:
        return places[:, None]

    def _values(self, places: Column) -> Column:
        values = self._low + places * self._span
        values = np.exp(values) if self._of.log else values
        if self._of.step is not None:
            values = self._of.low + self._of.step * np.rint((values - self._of.low) / self._of.step)
        return np.clip(values, self._of.low, self._of.high)

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        return np.log(values) if self._of.log else values


class _Choices:
    """A categorical parameter of n choices, the i-th at (i + 1/2) / n."""

    fine = False

    def __init__(self, distribution: CategoricalDistribution) -> None:
        self._choices = list(distribution.choices)

    def knows(self, value: object) -> bool:
        return value in self._choices

    def place(self, value: Any) -> float:
        return (self._choices.index(value) + 0.5) / len(self._choices)

    def value(self, place: float) -> Any:
        return self._choices[int(self._positions(np.array([place]))[0])]

    def settled(self, places: Column) -> Column:
        return (self._positions(places) + 0.5) / len(self._choices)

    def features(self, places: Column) -> Float[np.ndarray, "rows choices"]:
        """Return indicators, two different choices at the distance 1."""
        indicators: np.ndarray = np.eye(len(self._choices))[self._positions(places)] / np.sqrt(2)
        return indicators

    def _positions(self, places: Column) -> np.ndarray:
        positions: np.ndarray = np.minimum((places * len(self._choices)).astype(int), len(self._choices) - 1)
        return positions


def _axis(distribution: BaseDistribution) -> _Numbers | _Choices:
    if isinstance(distribution, CategoricalDistribution):
        return _Choices(distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return _Numbers(distribution)
