"""The noise floor: which gains over the baseline survive another seed.

The best of many trials is best partly by luck. Rerun under the same K seeds as the baseline, a trial's gain is a sample
of paired differences, one per seed; the value that made it the best is not among them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

LEVEL = 0.05


@dataclass(frozen=True)
class Gain:
    """How much better than the baseline a configuration is over seeds.

    Attributes
    ----------
    recorded
        The gain that the study recorded, by which it was chosen.
    mean, low, high
        The mean gain under the seeds and its 95 % interval.
    p_value
        Of the configuration being no better than the baseline, corrected for how many were tried (Holm).
    """

    name: str
    recorded: float
    mean: float
    low: float
    high: float
    p_value: float

    @property
    def survives(self) -> bool:
        """Whether the gain is above chance."""
        return self.p_value <= LEVEL

    @property
    def optimism(self) -> float:
        """How much better the configuration looked where it was chosen than it is."""
        return self.recorded - self.mean


def seed_noise(losses: Sequence[float]) -> float:
    """Return the standard deviation of a loss between seeds."""
    return float(np.std(losses, ddof=1))


def gains(
    baseline: Sequence[float], candidates: Mapping[str, Sequence[float]], recorded: Mapping[str, float]
) -> tuple[Gain, ...]:
    """Return the gain of each candidate over the baseline, the surest first.

    Parameters
    ----------
    baseline, candidates
        Losses, smaller is better, under the same seeds in the same order; at least three.
    recorded
        The gain of each candidate in the study itself.

    Raises ValueError where there are fewer than three seeds, or a candidate has others than the baseline.
    """
    if len(baseline) < 3:
        raise ValueError(f"gains need at least 3 seeds, found {len(baseline)}; give --seeds 3 or more")
    wrong = [name for name, losses in candidates.items() if len(losses) != len(baseline)]
    if wrong:
        raise ValueError(f"expected {len(baseline)} seeds of each, as the baseline has; found others of {wrong}")
    found = [_gain(name, np.subtract(baseline, losses), recorded[name]) for name, losses in candidates.items()]
    return tuple(_holm(sorted(found, key=lambda gain: gain.p_value)))


def _gain(name: str, differences: np.ndarray[tuple[int], np.dtype[np.float64]], recorded: float) -> Gain:
    freedom = len(differences) - 1
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(len(differences))
    reach = float(student.ppf(0.975, freedom)) * error
    p_value = float(student.sf(mean / error, freedom)) if error > 0 else float(mean <= 0)
    return Gain(name, recorded, mean, mean - reach, mean + reach, p_value)


def _holm(ordered: Sequence[Gain]) -> list[Gain]:
    """Return gains, the smallest p-value first, with p-values corrected for their number (Holm 1979)."""
    corrected, so_far = [], 0.0
    for place, gain in enumerate(ordered):
        so_far = max(so_far, min(1.0, (len(ordered) - place) * gain.p_value))
        corrected.append(Gain(gain.name, gain.recorded, gain.mean, gain.low, gain.high, so_far))
    return corrected
