"""Teachers: predictions that may serve as targets in training, and which of them would leak.

A fold's score is worth something as long as nothing of its validated patients reaches what is fitted. A predicted
target is fitted, so two things must hold of the networks behind it:

1. They were not trained on the row, nor on other recordings of its patient: else the prediction is the row's own label
   remembered. Out-of-fold predictions with folds by patient see to that; a file with a patient in two folds is refused.
2. They were not trained on the *validated* patients. Here a promoted model's ``oof.parquet`` fails, although each of
   its predictions is out of fold, and although its folds may be the very same: a row of fold 1 was predicted by the
   networks that were trained on all folds but 1, so on fold 0, too. A student of fold 0 that is trained towards these
   predictions is taught by networks that know the labels it is scored on. What they know of a validated recording comes
   back through the training rows that resemble it. Other folds than the plan's make it neither better nor worse: with
   two or more of them, somebody has seen the validated patients. And a patient that a file does not list may still have
   been trained on, where only some of its folds were run.

So a teacher of a fold needs networks of its own: an experiment on the other folds alone
(:meth:`hms_search.data.folds.FoldPlan.without`), whose out-of-fold predictions are kept with the list of the patients
that no network behind them was trained on. A folder of such files (``fold0.parquet, fold0.json, fold1.parquet ...``, by
:func:`write_teacher`) is taken for a fold if one of them has held out all of the fold's validated patients. Folders
in it count too, so that one folder can hold teachers for the folds of a search and for those of a promotion.

``optimistic: true`` accepts, after the 15th place's example, any file that keeps the first rule; the result is marked.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hms_search.data.atomic import replacing
from hms_search.data.findings import few
from hms_search.data.oof import OutOfFold, read_oof, write_oof
from hms_search.data.oof_alignment import shared_patients
from hms_search.errors import DataError

HOW_TO = (
    "write teachers for these folds (hms_search.promotion.teachers) and name their folder, "
    "or set optimistic: true, and the result is marked so"
)


@dataclass(frozen=True)
class Pupils:
    """What decides which predictions a fold may use: ids and patients of the Store, and the fold's rows.

    ``rows`` are the training rows that need a prediction, ``validation`` the rows that are scored.
    """

    sample_ids: Int[np.ndarray, " samples"]
    patients: Int[np.ndarray, " samples"]
    rows: Int[np.ndarray, " rows"]
    validation: Int[np.ndarray, " validation"]
    fold: int

    @property
    def validated(self) -> Int[np.ndarray, " patients"]:
        """The patients that the fold is scored on."""
        return np.unique(self.patients[self.validation])


def write_teacher(folder: Path, fold: int, oof: OutOfFold, held_out: Sequence[int]) -> None:
    """Keep out-of-fold predictions whose networks were trained on none of the ``held_out`` patients.

    Raises DataError where a prediction is of such a patient: its networks would be in doubt.
    """
    both = np.intersect1d(oof.patients, held_out)
    if len(both):
        raise DataError(f"teacher of fold {fold}: patients {few(both)} are held out, and predicted out of a fold")
    folder.mkdir(parents=True, exist_ok=True)
    write_oof(oof, _file(folder, fold))
    with replacing(_file(folder, fold).with_suffix(".json")) as partial:
        partial.write_text(json.dumps({"held_out_patients": sorted(map(int, held_out))}), encoding="utf-8")


def predicted_targets(source: Path, pupils: Pupils, *, optimistic: bool) -> Float[np.ndarray, "samples 6"]:
    """Return the predictions for a fold's training rows, NaN in every other row.

    Raises DataError where a rule above is broken, a training row has no prediction, or belongs to another patient.
    """
    if source.is_dir():
        oof = _teacher(source, pupils)
    elif optimistic:
        oof = read_oof(source)
    else:
        raise DataError(
            f"{source}: these predictions would leak into fold {pupils.fold}: nothing shows that no network behind "
            f"them was trained on its {len(pupils.validated)} validated patients, and where every fold was predicted "
            f"out of fold, those of the other folds were; {HOW_TO}"
        )
    shared = shared_patients(oof)
    if len(shared):
        raise DataError(
            f"{source}: {len(shared)} patients lie in more than one fold: patient {few(shared)}; the networks behind "
            "a prediction were trained on its own patient and repeat labels; use a model of folds: {name: grouped}"
        )
    return _of_rows(oof, pupils, source)


def _teacher(folder: Path, pupils: Pupils) -> OutOfFold:
    found = sorted(folder.rglob("fold*.json"))
    for file in found:
        if np.isin(pupils.validated, _held_out(file)).all():
            return read_oof(file.with_suffix(".parquet"))
    raise DataError(
        f"{folder}: none of {len(found)} teachers has held out all {len(pupils.validated)} validated patients of fold "
        f"{pupils.fold}: its networks know what the fold is scored on; {HOW_TO}"
    )


def _held_out(file: Path) -> Sequence[int]:
    try:
        patients: list[int] = json.loads(file.read_text(encoding="utf-8"))["held_out_patients"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: expected a list held_out_patients, found something else ({error!r})") from None
    return patients


def _of_rows(oof: OutOfFold, pupils: Pupils, source: Path) -> Float[np.ndarray, "samples 6"]:
    ids, known = pupils.sample_ids[pupils.rows], oof.samples["sample_id"].to_numpy(dtype=np.int64)
    missing = np.setdiff1d(ids, known)
    if len(missing):
        raise DataError(
            f"{source}: no prediction for {len(missing)} of the {len(ids)} training rows of fold {pupils.fold} that "
            f"need one: sample {few(missing)}; give predictions of the same data and sampling rule, all folds run"
        )
    places = np.searchsorted(known, ids)
    moved = oof.patients[places] != pupils.patients[pupils.rows]
    if moved.any():
        raise DataError(
            f"{source}: {int(moved.sum())} samples belong to other patients than here: sample {few(ids[moved])}; "
            "whether predictions leak is decided by patient: give predictions of the same train.csv"
        )
    targets = np.full((len(pupils.sample_ids), oof.probabilities.shape[1]), np.nan)
    targets[pupils.rows] = oof.probabilities[places]
    return targets


def _file(folder: Path, fold: int) -> Path:
    return folder / f"fold{fold}.parquet"
