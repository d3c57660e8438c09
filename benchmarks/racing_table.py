"""The table and the figures of the racing benchmark: what searches spent and found, and how sure that is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from measured import Figure
from racing_factorial import SETTINGS, Factorial

from hms_search.search.evidence import fold_noise


@dataclass(frozen=True)
class Search:
    """What a search spent and found.

    ``spared`` trials went on although they would have been stopped, for ``spared_epochs`` epochs. ``above`` is by how
    much the best that was found is worse than the truly best one; ``lost``: that one was stopped.
    """

    epochs: int
    above: float
    lost: bool
    finished: int
    spared: int
    spared_epochs: int


Searches = Sequence[Sequence[Search]]
"""Of every seed, the searches in all orders."""


def table(found: Mapping[str, Searches], noise: float) -> Iterator[str]:
    """Yield the lines of the table."""
    spent = f"{'epochs':>8} {'finished':>9} {'spared':>7} {'their epochs':>13}"
    yield f"{'':20} {spent} {'above best':>11} {'best lost':>10} {'beyond noise':>13}"
    for name, searches in found.items():
        epochs, finished, spared, spared_epochs, above, lost = (
            means(searches, kind).mean() for kind in ("epochs", "finished", "spared", "spared_epochs", "above", "lost")
        )
        yield (
            f"{name:20} {epochs:8.0f} {finished:9.1f} {spared:7.1f} {spared_epochs:13.1f} {above:11.4f} {lost:10.0%} "
            f"{beyond(searches, noise):13.0%}"
        )


def figures(median: Searches, racing: Searches, noise: float) -> Iterator[Figure]:
    """Return what the targets are about, and print the intervals."""
    ours, theirs = means(racing, "epochs"), means(median, "epochs")
    ratio = ours.sum() / theirs.sum()
    low, high = interval(lambda seeds: ours[seeds].sum() / theirs[seeds].sum(), len(ours))
    print(f"racing's epochs over the median pruner's: {ratio:.3f} ({low:.3f} to {high:.3f})")
    yield Figure("racing_epochs_over_median", ratio, 0.6, "ratio", ratio <= 0.6)
    less = means(racing, "above") - means(median, "above")
    low, high = interval(lambda seeds: less[seeds].mean(), len(less))
    print(f"best value, racing less median: {less.mean():.4f} ({low:.4f} to {high:.4f}), a trial's noise {noise:.4f}")
    yield Figure("racing_value_less_median", less.mean(), noise, "KL", high <= noise)
    lost = means(racing, "lost").mean()
    yield Figure("racing_truly_best_stopped", lost, 0.1, "share of searches", lost <= 0.1)
    lost = beyond(racing, noise)
    yield Figure("racing_best_lost_beyond_noise", lost, 0.1, "share of searches", lost <= 0.1)


def noise_of(factorials: Sequence[Factorial]) -> float:
    """Return the standard deviation of a trial's value by chance, from the folds of the better half of the settings."""
    half = len(SETTINGS) // 2
    return float(np.mean([fold_noise(one.values[np.argsort(one.finals)[:half], :, -1]) for one in factorials]))


def means(searches: Searches, kind: str) -> np.ndarray:
    """Return the mean over the orders for each seed."""
    return np.array([[getattr(one, kind) for one in of_seed] for of_seed in searches], dtype=float).mean(axis=1)


def beyond(searches: Searches, noise: float) -> float:
    """Return the share of searches that found nothing as good as the truly best one, but for noise."""
    return float(np.mean([[one.above > noise for one in of_seed] for of_seed in searches]))


def interval(statistic: Callable[[np.ndarray], float], n_seeds: int) -> tuple[float, float]:
    """Return the 95 % interval of a statistic of chosen seeds by bootstrap."""
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(n_seeds, size=n_seeds)) for _ in range(2000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)
