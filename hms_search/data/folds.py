"""Folds: which samples a fold is validated on.

``grouped`` keeps all samples of a patient on one side and spreads consensus classes and vote strata evenly; ``random``
is the public baseline's way and ``files`` that of the seizure-type papers, which let patients leak.
"""

import logging
import warnings
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from pydantic import Field, model_validator
from sklearn.model_selection import StratifiedGroupKFold

from hms_search.component import Component, fingerprint_of
from hms_search.data.fold_words import Level
from hms_search.data.fold_words import Order as Order
from hms_search.errors import DataError

logger = logging.getLogger(__name__)

NOWHERE = -1
"""The fold of samples that are neither trained on nor validated."""


class GroupedFolds(Component):
    """Folds by patient, stratified by consensus class and vote stratum."""

    name: Literal["grouped"] = "grouped"
    n_folds: int = Field(default=5, ge=2, description="Parts the samples are cut into.")
    use: tuple[int, ...] | None = Field(default=None, description="The folds that are run, in this order; all if null.")
    seed: int = Field(default=0, ge=0, description="Seed of the shuffle.")

    @model_validator(mode="after")
    def _use_is_in_range(self) -> Self:
        _check_use(self.use, self.n_folds)
        return self


class RandomFolds(Component):
    """Contiguous slices of the shuffled samples, as in the public baseline; patients leak between the sides."""

    name: Literal["random"] = "random"
    n_folds: int = Field(default=5, ge=2, description="Parts the samples are cut into.")
    use: tuple[int, ...] | None = Field(default=None, description="The folds that are run, in this order; all if null.")
    seed: int = Field(default=0, ge=0, description="Seed of the shuffle.")

    @model_validator(mode="after")
    def _use_is_in_range(self) -> Self:
        _check_use(self.use, self.n_folds)
        return self


class FileFolds(Component):
    """Folds by file, each seizure type spread evenly, as published for the TUH corpus; patients leak between the sides.

    The files of a type are cut into contiguous slices in the order of the table (IBM's code: KFold without shuffle
    inside each type).
    """

    name: Literal["files"] = "files"
    n_folds: int = Field(default=5, ge=2, description="Parts the samples are cut into.")
    use: tuple[int, ...] | None = Field(default=None, description="The folds that are run, in this order; all if null.")
    seed: int = Field(default=0, ge=0, description="Seed of the patients' folds whose score stands beside.")

    @model_validator(mode="after")
    def _use_is_in_range(self) -> Self:
        _check_use(self.use, self.n_folds)
        return self


Folds = Annotated[GroupedFolds | RandomFolds | FileFolds, Field(discriminator="name")]


def level_of(folds: Folds) -> Level:
    """Return what stays on one side of the folds."""
    return "patient" if isinstance(folds, GroupedFolds) else "file"


def counterpart(folds: Folds) -> Folds:
    """Return as many folds at the other level: of patients where these are of files, and the other way round."""
    other = FileFolds if isinstance(folds, GroupedFolds) else GroupedFolds
    return other(n_folds=folds.n_folds, use=folds.use, seed=folds.seed)


class Foldable(Protocol):
    """What a plan of folds reads of a :class:`hms_search.data.store.Store`."""

    def __len__(self) -> int:
        """Return the number of samples."""

    @property
    def samples(self) -> pd.DataFrame:
        """One line per sample with ``sample_id`` and ``consensus``."""

    @property
    def patients(self) -> Int[np.ndarray, " samples"]:
        """Patient of each sample."""

    @property
    def high(self) -> Bool[np.ndarray, " samples"]:
        """Whether a sample belongs to the HIGH stratum."""

    @property
    def scored(self) -> Bool[np.ndarray, " samples"]:
        """Whether a sample may be validated."""


@dataclass(frozen=True)
class FoldPlan:
    """The fold of each sample, the folds in use, and how many patients have samples in more than one fold.

    ``scored`` says which samples are validated; the others are trained on only. ``order`` is that of the folds' epochs:
    no result depends on it, so it is not in the fingerprint.
    """

    assignment: Int[np.ndarray, " samples"]
    scored: Bool[np.ndarray, " samples"]
    n_folds: int
    use: tuple[int, ...]
    shared_patients: int
    fingerprint: str
    order: Order = "sequential"

    def split(self, fold: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
        """Return the rows to train on and the rows to validate on."""
        held_out = self.assignment == fold
        return np.flatnonzero(~held_out & (self.assignment != NOWHERE)), np.flatnonzero(held_out & self.scored)

    def without(self, fold: int) -> "FoldPlan":
        """Return the other folds, all in use and every sample of them scored; the fold's samples are nowhere.

        Its networks are what may teach a network that is validated on the fold; see :mod:`hms_search.data.teachers`.
        """
        return replace(
            self,
            assignment=np.where(self.assignment == fold, NOWHERE, self.assignment),
            scored=np.ones_like(self.scored),
            use=tuple(other for other in range(self.n_folds) if other != fold),
            fingerprint=fingerprint_of([self.fingerprint, "without", fold]),
        )


def plan_folds(folds: Folds, store: Foldable, *, order: Order = "sequential") -> FoldPlan:
    """Return the fold of every sample of the Store; the same for the same samples and configuration.

    Raises DataError where there are fewer patients (grouped) or samples (random, files) than folds.
    """
    assignment = _assignment(folds, store)
    shared = _shared_patients(assignment, store.patients)
    if shared:
        logger.warning(
            "%s folds: %d patients have samples in more than one fold, which flatters the score; "
            "folds: {name: grouped} keeps them apart",
            folds.name,
            shared,
        )
    sample_ids = store.samples["sample_id"].tolist()
    return FoldPlan(
        assignment=assignment,
        scored=store.scored,
        n_folds=folds.n_folds,
        use=folds.use or tuple(range(folds.n_folds)),
        shared_patients=shared,
        fingerprint=fingerprint_of([sample_ids, assignment.tolist()]),
        order=order,
    )


def _assignment(folds: Folds, store: Foldable) -> Int[np.ndarray, " samples"]:
    if isinstance(folds, GroupedFolds):
        return _grouped(store, folds)
    if len(store) < folds.n_folds:
        raise DataError(
            f"n_folds is {folds.n_folds}, but there are only {len(store)} samples; use fewer folds or more data"
        )
    return _sliced(len(store), folds) if isinstance(folds, RandomFolds) else _sliced_by_class(store, folds.n_folds)


def _grouped(store: Foldable, folds: GroupedFolds) -> Int[np.ndarray, " samples"]:
    n_patients = len(np.unique(store.patients))
    if n_patients < folds.n_folds:
        raise DataError(
            f"grouped folds need at least one patient per fold: n_folds is {folds.n_folds}, the samples are of "
            f"{n_patients} patients; use fewer folds or more data"
        )
    strata = 2 * store.samples["consensus"].to_numpy() + store.high
    return assign_groups(strata, store.patients, n_folds=folds.n_folds, seed=folds.seed)


def assign_groups(
    strata: Int[np.ndarray, " samples"], groups: Int[np.ndarray, " samples"], *, n_folds: int, seed: int
) -> Int[np.ndarray, " samples"]:
    """Return a fold for every sample: groups stay together, strata and sizes are spread evenly.

    Strata with fewer members than folds count as one, so that they too are spread.
    """
    _, inverse, members = np.unique(strata, return_inverse=True, return_counts=True)
    strata = np.where(members[inverse] < n_folds, -1, strata)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    assignment = np.full(len(groups), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the merged strata may still be few
        for fold, (_, validation) in enumerate(splitter.split(strata, strata, groups)):
            assignment[validation] = fold
    return assignment


def _sliced(n_samples: int, folds: RandomFolds) -> Int[np.ndarray, " samples"]:
    assignment = np.empty(n_samples, dtype=np.int64)
    order = np.random.default_rng(folds.seed).permutation(n_samples)
    for fold, rows in enumerate(np.array_split(order, folds.n_folds)):
        assignment[rows] = fold
    return assignment


def _sliced_by_class(store: Foldable, n_folds: int) -> Int[np.ndarray, " samples"]:
    assignment = np.empty(len(store), dtype=np.int64)
    consensus = store.samples["consensus"].to_numpy()
    for name in np.unique(consensus):
        for fold, rows in enumerate(np.array_split(np.flatnonzero(consensus == name), n_folds)):
            assignment[rows] = fold
    return assignment


def _shared_patients(assignment: Int[np.ndarray, " samples"], patients: Int[np.ndarray, " samples"]) -> int:
    pairs = np.unique(np.stack([patients, assignment], axis=1), axis=0)
    _, n_folds = np.unique(pairs[:, 0], return_counts=True)
    return int((n_folds > 1).sum())


def _check_use(use: tuple[int, ...] | None, n_folds: int) -> None:
    if use is None:
        return
    if not use or len(set(use)) != len(use):
        raise ValueError(f"use: expected different folds, at least one, found {list(use)}")
    wrong = [fold for fold in use if not 0 <= fold < n_folds]
    if wrong:
        raise ValueError(f"use: expected folds 0 to {n_folds - 1} (n_folds: {n_folds}), found {wrong}")
