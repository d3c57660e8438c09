"""Aims and constraints: what a search wants beside its value, and what no trial may exceed.

The first aim is the study's own value; the others may be the KL on another stratum, or what a network costs
(:mod:`hms_search.search.footprint`). No aim is worth so much of another: what a study of several finds is the front of
the trials that no other one beats in every aim.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from hms_search.component import Component
from hms_search.search.outcomes import Direction
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import Task

Cost = Literal["parameters", "latency_ms", "memory_mb"]
COSTS: tuple[Cost, ...] = ("parameters", "latency_ms", "memory_mb")
BREAKS_KEY = "breaks"
"""The user attribute of a trial that exceeds a constraint: which one, and by how much."""


class Aim(Component):
    """One thing to get less of: KL (on a stratum of votes; null: the objective's), or a cost; or more of: F1."""

    metric: Literal["kl", "weighted_f1", "parameters", "latency_ms", "memory_mb"]
    stratum: Stratum | None = None


class Constraint(Component):
    """A cost that no trial may exceed; one that does is not trained."""

    metric: Cost
    at_most: float = Field(gt=0)

    @property
    def in_words(self) -> str:
        """The limit as it is shown."""
        return f"{self.metric} at most {self.at_most:.12g}"


@dataclass(frozen=True)
class Wanted:
    """What a study wants: aims (none: its value alone), constraints, and the stratum that its value is of."""

    aims: tuple[Aim, ...]
    constraints: tuple[Constraint, ...]
    objective: Stratum

    @property
    def names(self) -> tuple[str, ...]:
        """What each aim is called among a trial's metrics; nothing where the value is the only aim."""
        return tuple(
            f"kl_{aim.stratum or self.objective}" if aim.metric == "kl" else str(aim.metric) for aim in self.aims
        )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Which way each aim is better."""
        return tuple("maximize" if aim.metric == "weighted_f1" else "minimize" for aim in self.aims)

    @property
    def in_words(self) -> str:
        """What the aims are and which way each is better."""
        better = {"minimize": "smaller is better", "maximize": "larger is better"}
        named = zip(self.names, self.directions, strict=True)
        return f"aims: {', '.join(f'{name} ({better[way]})' for name, way in named)}"

    @property
    def costs(self) -> frozenset[Cost]:
        """The costs that aims or constraints refer to."""
        named = {*(aim.metric for aim in self.aims), *(one.metric for one in self.constraints)}
        return frozenset(cost for cost in COSTS if cost in named)

    @property
    def words(self) -> tuple[str, ...]:
        """Return aims and constraints in words, nothing where there are none."""
        aims = (f"aims {', '.join(self.names)}",) if self.aims else ()
        return (*aims, *(one.in_words for one in self.constraints))

    def values(self, value: float, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Return what a trial reached of each aim: its value, then what its metrics say; nan where they do not."""
        return (value, *(metrics.get(name, np.nan) for name in self.names[1:])) if self.aims else (value,)

    def excess(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return by which share of its limit a trial exceeds each constraint; 0 or less where it keeps to it."""
        return {one.metric: metrics[one.metric] / one.at_most - 1 for one in self.constraints}

    def broken(self, metrics: Mapping[str, float]) -> str:
        """Return which constraints a trial exceeds, in words; empty where it keeps to all."""
        return ", ".join(
            f"{one.metric} is {metrics[one.metric]:,.6g}, at most {one.at_most:,.6g} is allowed"
            for one in self.constraints
            if metrics[one.metric] > one.at_most
        )


def wanted_of(config: Mapping[str, Any]) -> Wanted:
    """Return what a study wants, from its configuration as it is stored; older ones know neither aim nor constraint."""
    aims = tuple(Aim.model_validate(one) for one in config.get("aims", ()))
    constraints = tuple(Constraint.model_validate(one) for one in config.get("constraints", ()))
    return Wanted(aims, constraints, config["objective"])


def aim_faults(task: Task, wanted: Wanted) -> Iterator[str]:
    """Yield what is wrong with the aims and constraints themselves."""
    names, value = wanted.names, task.metric.format(stratum=wanted.objective)
    if len(names) == 1:
        yield "aims: one aim is what a study has without them; name a second, or leave aims out"
    if names and names[0] != value:
        yield f"aims: the first is the study's own value, {value}; found {names[0]}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"aims: {name} is there twice"
    for aim in wanted.aims:
        if aim.metric == "kl" and task.name != "hms":
            yield f"aims: task {task.name} has no KL; the metrics are {task.metric}, {', '.join(COSTS)}"
        if aim.metric == "weighted_f1" and task.name == "hms":
            yield f"aims: task hms has no weighted F1; the metrics are kl, {', '.join(COSTS)}"
        if aim.stratum is not None and aim.metric != "kl":
            yield f"aims: a stratum is of votes, {aim.metric} has none; leave stratum out"
    limited = [one.metric for one in wanted.constraints]
    for metric in sorted({metric for metric in limited if limited.count(metric) > 1}):
        yield f"constraints: {metric} is there twice"


def pareto_front(losses: Float[np.ndarray, "trials aims"]) -> Bool[np.ndarray, " trials"]:
    """Return which trials no other one beats: as good in every aim, and better in one. Smaller is better."""
    front = np.zeros(len(losses), dtype=bool)
    for place in np.lexsort(losses.T[::-1]):  # by the first aim, then the second: what beats a trial stands before it
        kept = losses[front]
        beaten = (kept <= losses[place]).all(axis=1) & (kept < losses[place]).any(axis=1)
        front[place] = not beaten.any()
    return front


def as_losses(values: Sequence[Sequence[float]], directions: Sequence[Direction]) -> Float[np.ndarray, "trials aims"]:
    """Return values with the sign of those turned that are better when larger."""
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    return np.array(values, dtype=np.float64).reshape(len(values), len(signs)) * signs
