"""What :mod:`search` says of its runs: means and intervals, a table, a picture.

Runs are regrets by method and task, arrays of seeds by quarters of a training.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Array = NDArray[np.float64]
Runs = Mapping[str, Mapping[str, Array]]
N_DRAWS = 1000
BUDGETS = (5, 10, 20, 50)


def table(suite: str, runs: Runs, per_training: int) -> Iterator[str]:
    """Return the lines of a suite's table: mean regret after each budget, with its interval."""
    n_quarters = min(curves.shape[1] for by_task in runs.values() for curves in by_task.values())
    columns = [budget for budget in BUDGETS if budget * per_training <= n_quarters]
    n_runs = {method: sum(len(curves) for curves in by_task.values()) for method, by_task in runs.items()}
    yield f"{suite}: mean normalised regret after so many full trainings (95 % interval)"
    yield f"{'':<30} {'runs':>5}  " + "  ".join(f"{b:>22}" for b in columns)
    for method, by_task in runs.items():
        draws = resampled({method: by_task})[method]
        cells = []
        for budget in columns:
            low, high = interval(draws[:, budget * per_training - 1])
            cells.append(f"{mean(by_task)[budget * per_training - 1]:>6.3f} ({low:.3f} to {high:.3f})".rjust(22))
        yield f"{method:<30} {n_runs[method]:>5}  " + "  ".join(cells)


def mean(by_task: Mapping[str, Array]) -> Array:
    """Return the mean regret over tasks, each the mean over its seeds."""
    return np.mean([curves.mean(axis=0) for curves in by_task.values()], axis=0)


def resampled(runs: Runs) -> dict[str, Array]:
    """Return means over tasks drawn anew, and seeds drawn anew within them, the same tasks for all methods."""
    rng = np.random.default_rng(0)
    tasks = sorted(set.intersection(*(set(by_task) for by_task in runs.values())))
    drawn = {method: [] for method in runs}
    for _ in range(N_DRAWS):
        chosen = rng.choice(tasks, len(tasks))
        for method, by_task in runs.items():
            means = [_redrawn(by_task[task], rng).mean(axis=0) for task in chosen]
            drawn[method].append(np.mean(means, axis=0))
    return {method: np.array(means) for method, means in drawn.items()}


def interval(values: Array) -> tuple[float, float]:
    """Return the 95 % interval of resampled values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def best_stock(runs: Runs, quarters: int) -> str:
    """Return the method of the least mean regret after a budget."""
    return min(runs, key=lambda method: mean(runs[method])[quarters - 1])


def epochs_ratio(runs: Runs, method: str, reference: str, quarters: int) -> tuple[float, tuple[float, float]]:
    """Return the epochs a method needs for the regret the reference has after a budget, over the reference's.

    Both are where the mean curve first comes so low. A method that never does counts as all of its budget.
    """
    pair = {name: runs[name] for name in (method, reference)}
    value = _ratio(mean(pair[method]), mean(pair[reference]), quarters)
    draws = resampled(pair)
    ratios = [_ratio(one, other, quarters) for one, other in zip(draws[method], draws[reference], strict=True)]
    return value, interval(np.array(ratios))


def regret_difference(runs: Runs, method: str, reference: str, quarters: int) -> tuple[float, tuple[float, float]]:
    """Return a method's regret less the reference's after a budget."""
    pair = {name: runs[name] for name in (method, reference)}
    draws = resampled(pair)
    value = mean(pair[method])[quarters - 1] - mean(pair[reference])[quarters - 1]
    return float(value), interval(draws[method][:, quarters - 1] - draws[reference][:, quarters - 1])


def plot(runs: Mapping[str, Runs], per_training: int, default: str, path: Path) -> None:
    """Draw mean regret over the budget, a panel per suite, with bands of the interval."""
    figure = Figure(figsize=(6.5 * len(runs), 5), layout="constrained")
    for axes, (suite, by_method) in zip(figure.subplots(1, len(runs), squeeze=False)[0], runs.items(), strict=True):
        for method, by_task in by_method.items():
            curve = mean(by_task)
            trainings = np.arange(1, len(curve) + 1) / per_training
            low, high = np.quantile(resampled({method: by_task})[method], [0.025, 0.975], axis=0)
            colour = "black" if method == default else None
            (line,) = axes.plot(trainings, curve, label=method, color=colour, linewidth=2 if colour else 1.2)
            axes.fill_between(trainings, low, high, color=line.get_color(), alpha=0.08, linewidth=0)
        axes.set(title=suite, xlabel="epochs spent, in full trainings", ylabel="mean normalised regret", xscale="log")
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.legend(fontsize=8)
    FigureCanvasAgg(figure).print_png(path)


def _redrawn(curves: Array, rng: np.random.Generator) -> Array:
    return curves[rng.integers(len(curves), size=len(curves))]


def _ratio(curve: Array, reference: Array, quarters: int) -> float:
    target = reference[quarters - 1]
    return _first(curve, target) / _first(reference, target)


def _first(curve: Array, target: float) -> int:
    reached = np.flatnonzero(curve <= target)
    return int(reached[0]) + 1 if len(reached) else len(curve)
