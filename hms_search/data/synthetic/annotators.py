"""The annotators: votes that disagree as real experts do.

Calibrated on the rater table of IIIC-IRR (50,697 segments, 124 raters; bdsp-core, ODC-By 1.0; Jing et al., Neurology
2023) by ``benchmarks/calibrate_annotators.py``, which fits and prints every matrix below. A segment is of one of six
*kinds*, its opinion ``theta ~ Dirichlet(concentration * confusion[kind])`` says how the field would vote on it, and
each rater tilts that by an own bias. Numbers of votes and mean labels of the two populations are those of HMS.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

N_RATERS = 124
_BIAS_STD = np.array([0.451, 0.298, 0.253, 0.470, 0.530, 0.620])
"""Spread over raters of log(own rate of a class / colleagues' rate), sampling noise removed; class order of labels."""


@dataclass(frozen=True)
class Population:
    """How one of the two vote populations was labelled."""

    stratum: Literal["high", "low"]
    confusion: Float[np.ndarray, "6 6"]
    concentration: Float[np.ndarray, " 6"]
    kinds: Float[np.ndarray, " 6"]
    """Share of each kind of segment that gives the mean label of HMS."""
    totals: dict[int, int]
    """HMS rows by their number of votes."""


HIGH = Population(
    stratum="high",
    confusion=np.array(
        [
            [0.526, 0.117, 0.059, 0.102, 0.065, 0.131],
            [0.054, 0.802, 0.025, 0.019, 0.002, 0.098],
            [0.083, 0.082, 0.594, 0.003, 0.032, 0.206],
            [0.060, 0.290, 0.007, 0.228, 0.032, 0.383],
            [0.037, 0.108, 0.179, 0.060, 0.189, 0.428],
            [0.017, 0.028, 0.036, 0.071, 0.153, 0.695],
        ]
    ),
    concentration=np.array([2.871, 6.881, 2.844, 4.754, 5.898, 2.701]),
    kinds=np.array([0.018, 0.133, 0.164, 0.152, 0.005, 0.528]),
    totals={
        10: 1146, 11: 2602, 12: 4356, 13: 7525, 14: 3887, 15: 10665, 16: 5191, 17: 1445, 18: 1934, 19: 250, 20: 634,
        21: 179, 22: 54, 23: 24, 24: 17, 25: 20, 26: 6, 27: 5, 28: 6,
    },
)  # fmt: skip
"""Fitted on the 11,467 real segments with 10 to 28 votes."""
LOW = Population(
    stratum="low",
    confusion=np.array(
        [
            [0.993, 0.005, 0.000, 0.000, 0.000, 0.002],
            [0.047, 0.802, 0.004, 0.054, 0.000, 0.093],
            [0.051, 0.102, 0.715, 0.001, 0.029, 0.102],
            [0.000, 0.027, 0.003, 0.852, 0.070, 0.048],
            [0.000, 0.003, 0.003, 0.015, 0.966, 0.013],
            [0.025, 0.013, 0.018, 0.048, 0.057, 0.839],
        ]
    ),
    concentration=np.array([4.127, 6.190, 2.011, 3.200, 3.565, 3.526]),
    kinds=np.array([0.245, 0.098, 0.235, 0.212, 0.194, 0.016]),
    totals={1: 4360, 2: 2316, 3: 51867, 4: 3451, 5: 3974, 6: 883, 7: 3},
)
"""Fitted on the 22,671 real segments with 3 votes, then mixed with 0.41 of the identity: IIIC's are mostly seizures,
and with the classes of HMS only that makes three raters as often unanimous as there (76.7 %). The mean label of LOW is
inferred: consensus counts of all HMS rows less what the mean HIGH label accounts for."""


def draw_panel(rng: np.random.Generator) -> Float[np.ndarray, "raters 6"]:
    """Return the biases of the raters of a data set, as factors on what the field would vote."""
    bias: Float[np.ndarray, "raters 6"] = np.exp(rng.normal(0, _BIAS_STD, (N_RATERS, 6)) - _BIAS_STD**2 / 2)
    return bias


def draw_opinion(population: Population, kind: int, rng: np.random.Generator) -> Float[np.ndarray, " 6"]:
    """Return one segment's opinion: the distribution its votes come from, sums to 1."""
    shape = np.maximum(population.confusion[kind] * population.concentration[kind], 1e-3)
    return rng.dirichlet(shape)


def draw_total(population: Population, rng: np.random.Generator) -> int:
    """Return a number of votes: 1-7 (LOW) or 10-28 (HIGH), never 8 or 9."""
    rows = np.array(list(population.totals.values()), dtype=float)
    return int(rng.choice(list(population.totals), p=rows / rows.sum()))


def draw_votes(
    opinion: Float[np.ndarray, " 6"], total: int, panel: Float[np.ndarray, "raters 6"], rng: np.random.Generator
) -> Int[np.ndarray, " 6"]:
    """Return the votes of ``total`` different raters drawn from the panel."""
    raters = rng.choice(len(panel), total, replace=False)
    chances = opinion * panel[raters]
    edges = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    choices = (rng.random((total, 1)) > edges[:, :5]).sum(axis=1)
    return np.bincount(choices, minlength=6)
