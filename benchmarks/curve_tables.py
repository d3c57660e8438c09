"""Real learning curves as problems to search: LCBench's surrogate and the TaskSet table, read from ``../shared/data``.

LCBench: Zimmer et al. 2021, the surrogate of YAHPO Gym (Pfisterer et al. 2022), Apache-2.0. TaskSet: Metz et al. 2020,
Apache-2.0. A problem gives the whole curve of a configuration; who searches looks at as much of it as was paid for.
"""

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

CURVES = Path(__file__).resolve().parents[2] / "shared" / "data" / "curves"
Curve = NDArray[np.float64]
EPOCHS = 52
ORDER = ("batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
"""The surrogate's inputs after the epoch."""
VAL_CROSS_ENTROPY = 2
N_REFERENCE = 600
VALID = 1


@dataclass(frozen=True)
class Problem:
    """A space with a learning curve at every point; values are minimised, NaN is a run that diverged.

    ``median`` and ``best`` are final values of the median configuration and of the best of those of the reference.
    """

    name: str
    space: Mapping[str, BaseDistribution]
    total: int
    median: float
    best: float
    source: Any = field(repr=False)

    def curve(self, params: Mapping[str, float]) -> tuple[Hashable, Curve]:
        """Return what tells the configuration from others, and its value after 1, 2, ... ``total`` epochs."""
        return self.source.curve(params)

    def regret(self, value: float) -> float:
        """Return 1 for the median configuration, 0 for the best of the reference, less for a better one."""
        return (value - self.best) / (self.median - self.best)


class LcBench:
    """Curves of validation cross-entropy of one task from the surrogate."""

    def __init__(self, task: str) -> None:
        self._category = json.loads((CURVES / "lcbench" / "encoding.json").read_text())["OpenML_task_id"][task]

    def curve(self, params: Mapping[str, float]) -> tuple[Hashable, Curve]:
        """Return the parameters themselves, and the curve."""
        values = tuple(params[name] for name in ORDER)
        return values, self.curves(np.array([values]))[0]

    def curves(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the curves of many configurations, a row of parameters each."""
        inputs = np.empty((len(rows), EPOCHS, 1 + len(ORDER)), np.float32)
        inputs[..., 0] = np.arange(1, EPOCHS + 1)
        inputs[..., 1:] = rows[:, None]
        flat = inputs.reshape(-1, inputs.shape[-1])
        category = np.full((len(flat), 1), self._category, np.int32)
        (output,) = session().run(None, {"x_cat": category, "x_cont": flat})
        return output[:, VAL_CROSS_ENTROPY].reshape(len(rows), EPOCHS).astype(np.float64)


class TaskSet:
    """Curves of validation loss of one task: a suggestion goes to the nearest of 1000 configurations."""

    def __init__(self, task: int) -> None:
        table = taskset()
        self.curves = table["curves"][task, :, VALID, 1:].astype(np.float64)  # the first point is before training
        self.curves[~np.isfinite(self.curves)] = np.nan
        drawn = np.log(taskset_configurations())
        self._low, self._span = drawn.min(axis=0), np.ptp(drawn, axis=0)
        self._unit = (drawn - self._low) / self._span

    def curve(self, params: Mapping[str, float]) -> tuple[Hashable, Curve]:
        """Return the nearest configuration's number, and its curve."""
        drawn = np.log([params[str(name)] for name in taskset()["hp_names"]])
        nearest = int(np.square(self._unit - (drawn - self._low) / self._span).sum(axis=1).argmin())
        return nearest, self.curves[nearest]


def lcbench_tasks() -> list[str]:
    """Return the tasks in the order of their ids as text: the first 17 are to develop on."""
    return sorted(_described()["OpenML_task_id"]["choices"])


def taskset_tasks() -> list[str]:
    """Return the tasks in the table's order."""
    return [str(name) for name in taskset()["tasks"]]


@cache
def lcbench_problem(task: str) -> Problem:
    described = _described()
    space: dict[str, BaseDistribution] = {}
    for name in ORDER:
        one = described[name]
        kind = IntDistribution if one["type"] == "uniform_int" else FloatDistribution
        space[name] = kind(one["lower"], one["upper"], log=one["log"])
    source = LcBench(task)
    finals = source.curves(uniform(space, N_REFERENCE, np.random.default_rng(int(task))))[:, -1]
    return Problem(task, space, EPOCHS, float(np.median(finals)), float(finals.min()), source)


@cache
def taskset_problem(task: str) -> Problem:
    """Return the problem of a task; the whole table is its reference."""
    space = {
        str(name): FloatDistribution(float(column.min()), float(column.max()), log=True)
        for name, column in zip(taskset()["hp_names"], taskset_configurations().T, strict=True)
    }
    source = TaskSet(taskset_tasks().index(task))
    finals = np.nan_to_num(source.curves[:, -1], nan=np.inf)
    return Problem(task, space, source.curves.shape[1], float(np.median(finals)), float(finals.min()), source)


def uniform(space: Mapping[str, BaseDistribution], n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return ``n`` configurations drawn from a numeric space, in its own scales, a row each."""
    columns = []
    for one in space.values():
        assert isinstance(one, FloatDistribution | IntDistribution)
        low, high = (np.log(one.low), np.log(one.high)) if one.log else (one.low, one.high)
        column = rng.uniform(low, high, n)
        column = np.exp(column) if one.log else column
        columns.append(np.rint(column) if isinstance(one, IntDistribution) else column)
    return np.stack(columns, axis=1)


def taskset_configurations() -> NDArray[np.float64]:
    """Return the table's configurations, 1 - beta in place of each beta: all were drawn log-uniformly like that."""
    table = taskset()
    betas = np.array([str(name).startswith("beta") for name in table["hp_names"]])
    return np.where(betas, 1 - table["hp"], table["hp"])


@cache
def _described() -> dict[str, Any]:
    described = json.loads((CURVES / "lcbench" / "config_space.json").read_text())["hyperparameters"]
    return {one["name"]: one for one in described}


@cache
def taskset() -> Mapping[str, NDArray[Any]]:
    with np.load(CURVES / "taskset_8_tasks.npz") as table:
        return dict(table)


@cache
def session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(CURVES / "lcbench" / "model.onnx", options)
