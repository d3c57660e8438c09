"""Expert votes: class names and their order, target distributions, and the two vote populations.

Facts: Kaggle "HMS - Harmful Brain Activity Classification" (rows have 1-7 or 10-28 votes, never 8 or 9); scores differ
so much between the two populations that a score without its stratum says little.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

TaskName = Literal["hms", "seizure_types"]
"""What a data set is labelled for; :mod:`hms_search.training.tasks` says what that means."""

CLASSES = ("seizure", "lpd", "gpd", "lrda", "grda", "other")
"""The canonical class order of every array in this package, where the task is that of the competition."""

SEIZURE_TYPES = ("ABSZ", "CPSZ", "FNSZ", "GNSZ", "SPSZ", "TCSZ", "TNSZ", "MYSZ")
"""The seizure types of the TUH EEG Seizure Corpus, and their order in every array of that task.

Absence, complex partial, focal non-specific, generalised non-specific, simple partial, tonic-clonic, tonic, myoclonic.
"""

CLASSES_OF: Mapping[TaskName, tuple[str, ...]] = {"hms": CLASSES, "seizure_types": SEIZURE_TYPES}
"""The classes of each task, in the order of its targets, logits and probabilities."""

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
