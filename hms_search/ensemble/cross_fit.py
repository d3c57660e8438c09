"""Cross-fitting: a blend is scored on folds that it was not fitted on, then fitted on all rows for use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hms_search.data.oof import OutOfFold, out_of_fold
from hms_search.ensemble.blends import FittedBlend
from hms_search.ensemble.fit import Method, learns
from hms_search.ensemble.rows import Rows
from hms_search.errors import DataError
from hms_search.training.metrics import Stratum, in_stratum


@dataclass(frozen=True)
class CrossFit:
    """A fitted blend and what it is worth.

    Attributes
    ----------
    members
        What was blended, aligned.
    blend
        Fitted on all rows; the one to use.
    oof
        The blended rows, each by the blend that was fitted without its fold.
    fold_blends
        These blends by fold.
    """

    method: Method
    members: tuple[OutOfFold, ...]
    blend: FittedBlend
    oof: OutOfFold
    fold_blends: dict[int, FittedBlend]


def cross_fit(
    method: Method,
    members: Sequence[OutOfFold],
    *,
    seed: int = 0,
    name: str = "blend",
    fit_on: Stratum = "all",
    on_fit: Callable[[int, int], None] | None = None,
) -> CrossFit:
    """Return the blend of aligned members, and its out-of-fold predictions under ``name``.

    The meta-folds are the members' own folds: no patient is in two of them, and what a member says of a fold comes
    from networks that were not trained on it. One tie stays, as in all stacking on out-of-fold predictions: the
    predictions that a fold's blend is fitted on come from networks of the other folds, which were trained on this one.

    Members must have gone through :func:`hms_search.data.oof_alignment.align`. ``on_fit`` hears how many fits of how
    many are done.

    Raises DataError where a method that learns has only one fold to learn from, or a fold leaves it no row.
    """
    first = members[0]
    rows = Rows(np.stack([member.probabilities for member in members]), first.targets, first.patients)
    folds = np.unique(first.folds)
    if len(folds) < 2 and learns(method):
        raise DataError(
            f"{method.name} is fitted on some folds and scored on another: expected at least two folds, found "
            f"{len(folds)}; give out-of-fold predictions of more folds, or use --method mean"
        )
    report = on_fit or _unheard
    report(0, len(folds) + 1)
    blended, blends = np.empty_like(first.probabilities), []
    learnt = in_stratum(first.high, fit_on)
    for held_out in (*(first.folds == fold for fold in folds), np.zeros(len(first), dtype=bool)):
        if learns(method) and not (learnt & ~held_out).any():
            raise DataError(f"{method.name}: without one of its folds the members have no row of stratum {fit_on}")
        blends.append(method.fit(rows.only(learnt & ~held_out), seed=seed))
        blended[held_out] = blends[-1].apply(rows.probabilities[:, held_out])
        report(len(blends), len(folds) + 1)
    return CrossFit(
        method=method,
        members=tuple(members),
        blend=blends[-1],
        oof=out_of_fold(name, first.samples, first.folds, first.targets, blended, first.task),
        fold_blends=dict(zip(folds.tolist(), blends[:-1], strict=True)),
    )


def _unheard(_done: int, _total: int) -> None:
    """Report to nobody."""
