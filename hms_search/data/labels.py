"""Expert votes: class names and their order, target distributions, and the two vote populations.

Facts: Kaggle "HMS - Harmful Brain Activity Classification" (rows have 1-7 or 10-28 votes, never 8 or 9); scores differ
so much between the two populations that a score without its stratum says little.
"""

import numpy as np
from jaxtyping import Float, Int

CLASSES = ("seizure", "lpd", "gpd", "lrda", "grda", "other")
"""The canonical class order of every array in this package."""

VOTE_COLUMNS = tuple(f"{name}_vote" for name in CLASSES)
CONSENSUS_NAMES = ("Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other")
"""How ``expert_consensus`` spells the classes, in canonical order."""

HIGH_VOTES = 10
"""A row with at least this many votes belongs to the HIGH stratum, all others to LOW."""

STRATA = ("all", "high", "low")


def targets_of(votes: Int[np.ndarray, "samples 6"]) -> Float[np.ndarray, "samples 6"]:
    """Return each row's votes as a distribution, ``p_c = votes_c / sum(votes)``, float64.

    Raises ValueError for a row without votes: it has no target and must be rejected while preparing.
    """
    totals = votes.sum(axis=1, keepdims=True)
    if (totals <= 0).any():
        rows = np.flatnonzero(totals[:, 0] <= 0)
        raise ValueError(f"every row needs at least one vote, found none in rows {rows[:5].tolist()}")
    distributions: np.ndarray = votes / totals
    return distributions
