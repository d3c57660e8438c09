"""Whether members' out-of-fold predictions fit together, and what makes a blend of them leak."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Int

from hms_search.data.findings import few
from hms_search.data.oof import SUM_TOLERANCE, OutOfFold, named_rows
from hms_search.errors import DataError


def align(members: Sequence[OutOfFold]) -> tuple[OutOfFold, ...]:
    """Return the members with the same rows and the same numbers of folds, fit to be blended.

    Folds are compared as partitions of the patients; all members get the first one's numbers.

    Raises
    ------
    DataError
        Where a blend of them would be scored on what it, or a member, had seen: rows that a member does not cover, a
        patient in several folds, folds that differ between members; and where tasks, targets, patients or strata
        differ.
    """
    if not members:
        raise DataError("a blend needs the out-of-fold predictions of at least one member, found none")
    names = [member.name for member in members]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"members need different names, found {few(twice)} more than once; a member counts only once")
    first = members[0]
    _check_tasks(members)
    _check_rows(members)
    for member in members:
        _check_patients(member)
        if member is not first:
            _check_labels(first, member)
            _check_folds(first, member)
    return tuple(replace(member, samples=member.samples.assign(fold=first.folds)) for member in members)


def shared_patients(member: OutOfFold) -> Int[np.ndarray, " patients"]:
    """Return the patients that lie in more than one fold."""
    n_folds = member.samples.groupby("patient_id")["fold"].nunique()
    return n_folds.index[n_folds > 1].to_numpy(dtype=np.int64)


def _check_tasks(members: Sequence[OutOfFold]) -> None:
    tasks = {member.name: member.task for member in members}
    if len(set(tasks.values())) > 1:
        found = ", ".join(f"{name}: {task}" for name, task in tasks.items())
        raise DataError(f"members must be of one task, found {found}")


def _check_rows(members: Sequence[OutOfFold]) -> None:
    every = np.unique(np.concatenate([member.samples["sample_id"] for member in members]))
    for member in members:
        missing = np.setdiff1d(every, member.samples["sample_id"])
        if len(missing):
            raise DataError(
                f"member {member.name} has no out-of-fold prediction for {len(missing)} of {len(every)} samples that "
                f"other members have: {few(missing)}; on rows that a member has not predicted out of its folds, it can "
                "only be blended with predictions of networks that were trained on them; "
                "give members of the same data, sampling rule and folds, all folds run"
            )


def _check_patients(member: OutOfFold) -> None:
    shared = shared_patients(member)
    if len(shared):
        raise DataError(
            f"member {member.name} has {len(shared)} patients in more than one fold: patient {few(shared)}; its "
            "networks were trained on other recordings of the patients they predict, which flatters them, and a blend "
            "would trust them for it; train the member again with folds: {name: grouped}"
        )


def _check_labels(first: OutOfFold, member: OutOfFold) -> None:
    ids = first.samples["sample_id"].to_numpy(dtype=np.int64)
    differing = {
        "patients": first.patients != member.patients,
        "targets": abs(first.targets - member.targets).max(axis=1) > SUM_TOLERANCE,
        "strata": first.high != member.high,
    }
    for what, rows in differing.items():
        if rows.any():
            raise DataError(
                f"the {what} of member {member.name} differ from those of {first.name} in {named_rows(ids, rows)}; "
                "members can only be blended if they were scored against the same labels: use one train.csv and one "
                "sampling rule, or --labels TRAIN.csv for files without targets"
            )


def _check_folds(first: OutOfFold, member: OutOfFold) -> None:
    ours, theirs = first.folds, member.folds
    partner = pd.crosstab(theirs, ours).idxmax(axis=1)
    moved = partner.loc[theirs].to_numpy() != ours
    split = partner[partner.duplicated()]
    moved |= np.isin(ours, split.to_numpy())
    if moved.any():
        patients = np.unique(first.patients[moved])
        raise DataError(
            f"the folds of member {member.name} differ from those of {first.name}: {len(patients)} patients lie with "
            f"others, patient {few(patients)}; the fold that a blend is scored on would hold patients that networks "
            "behind the same fold's predictions were trained on; train both on the same folds (data, folds and their "
            "seed)"
        )
