"""Which predictions may be a fold's targets, on made-up members: 12 patients with two samples each, in three folds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from members import distributions, member, samples_of

from hms_search.data.oof import out_of_fold, write_oof
from hms_search.data.teachers import Pupils, predicted_targets, write_teacher
from hms_search.errors import DataError

PATIENTS = np.repeat(np.arange(12), 2)
FOLDS = PATIENTS % 3
IDS = 1000 + np.arange(24)
TARGETS = distributions(24, seed=0)


def pupils(fold: int = 0, *, rows: np.ndarray | None = None) -> Pupils:
    training = np.flatnonzero(fold != FOLDS) if rows is None else rows
    return Pupils(IDS, PATIENTS, training, np.flatnonzero(fold == FOLDS), fold)


def oof_of(rows: np.ndarray, *, seed: int = 1):
    """Out-of-fold predictions of some rows."""
    samples: pd.DataFrame = samples_of(PATIENTS).iloc[rows]
    return out_of_fold("teacher", samples, FOLDS[rows], TARGETS[rows], distributions(24, seed=seed)[rows])


def teachers(folder: Path) -> Path:
    for fold in range(3):
        rows = np.flatnonzero(fold != FOLDS)
        write_teacher(folder, fold, oof_of(rows, seed=fold), np.unique(PATIENTS[fold == FOLDS]).tolist())
    return folder


@pytest.fixture
def promoted(tmp_path: Path) -> Path:
    """What a promoted model keeps: every sample, out of fold."""
    write_oof(member("model", distributions(24, seed=7), TARGETS, PATIENTS), tmp_path / "oof.parquet")
    return tmp_path / "oof.parquet"


@pytest.mark.parametrize("fold", range(3))
def test_a_teacher_that_held_out_the_folds_patients_gives_its_training_rows_their_predictions(tmp_path, fold):
    found = predicted_targets(teachers(tmp_path), pupils(fold), optimistic=False)
    training = fold != FOLDS
    np.testing.assert_array_equal(found[training], distributions(24, seed=fold)[training])
    assert np.isnan(found[~training]).all()


def test_only_the_rows_that_need_a_prediction_get_one(tmp_path):
    found = predicted_targets(teachers(tmp_path), pupils(rows=np.array([2, 11])), optimistic=False)
    assert np.flatnonzero(~np.isnan(found).any(axis=1)).tolist() == [2, 11]


def test_a_promoted_models_predictions_leak_and_are_refused_with_the_reason_and_the_way_out(promoted):
    with pytest.raises(DataError, match=r"would leak into fold 0: .* its 4 validated patients.*optimistic: true"):
        predicted_targets(promoted, pupils(), optimistic=False)


def test_a_promoted_models_predictions_are_taken_where_the_user_calls_the_result_optimistic(promoted):
    found = predicted_targets(promoted, pupils(), optimistic=True)
    assert np.isnan(found[FOLDS == 0]).all()  # never a target of the fold's own validation rows
    np.testing.assert_array_equal(found[FOLDS != 0], distributions(24, seed=7)[FOLDS != 0])


def test_why_a_promoted_model_leaks_and_a_teacher_does_not(tmp_path):
    """Labels are chance, but each recording has a twin of another patient, and every network repeats what it knows.

    The networks of the other folds have seen fold 0. What they say of a training row is its twin's validation label,
    and the student says it again of the twin.
    """
    twin = np.arange(24) ^ 2  # samples of patients 2k and 2k + 1
    elsewhere = FOLDS[twin] != FOLDS
    said = np.where(elsewhere[:, None], TARGETS[twin], 1 / 6)  # by networks of all folds but the row's own
    write_oof(member("model", said, TARGETS, PATIENTS), tmp_path / "oof.parquet")
    said_without = np.where((elsewhere & (FOLDS[twin] != 0))[:, None], TARGETS[twin], 1 / 6)
    rows = np.flatnonzero(FOLDS != 0)
    teacher = out_of_fold("teacher", samples_of(PATIENTS).iloc[rows], FOLDS[rows], TARGETS[rows], said_without[rows])
    write_teacher(tmp_path / "teachers", 0, teacher, np.unique(PATIENTS[FOLDS == 0]).tolist())

    validated = np.flatnonzero((FOLDS == 0) & elsewhere)
    leaking = predicted_targets(tmp_path / "oof.parquet", pupils(), optimistic=True)
    clean = predicted_targets(tmp_path / "teachers", pupils(), optimistic=False)
    np.testing.assert_allclose(leaking[twin[validated]], TARGETS[validated])
    np.testing.assert_allclose(clean[twin[validated]], 1 / 6)


def test_a_folder_of_other_folds_is_refused(tmp_path):
    other = Pupils(IDS, PATIENTS, np.flatnonzero(PATIENTS > 3), np.flatnonzero(PATIENTS <= 3), fold=1)
    with pytest.raises(DataError, match="none of 3 teachers has held out all 4 validated patients of fold 1"):
        predicted_targets(teachers(tmp_path), other, optimistic=False)


def test_a_teacher_that_held_out_more_than_needed_will_do_whatever_the_folds_number(tmp_path):
    folder, fewer = teachers(tmp_path), np.flatnonzero(PATIENTS == 4)  # of fold 1
    found = predicted_targets(folder, Pupils(IDS, PATIENTS, np.array([0, 1]), fewer, fold=9), optimistic=False)
    np.testing.assert_array_equal(found[:2], distributions(24, seed=1)[:2])


def test_one_folder_holds_the_teachers_of_several_plans(tmp_path):
    teachers(tmp_path / "three")
    rows = np.flatnonzero(PATIENTS > 3)
    write_teacher(tmp_path / "other", 0, oof_of(rows), [0, 1, 2, 3])
    other = Pupils(IDS, PATIENTS, rows, np.flatnonzero(PATIENTS <= 3), fold=1)
    found = predicted_targets(tmp_path, other, optimistic=False)
    np.testing.assert_array_equal(found[rows], distributions(24, seed=1)[rows])


def test_a_fault_in_a_teachers_list_is_named(tmp_path):
    folder = teachers(tmp_path)
    (folder / "fold1.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match=r"fold1\.json: expected a list held_out_patients"):
        predicted_targets(folder, pupils(1), optimistic=False)


def test_a_teacher_cannot_have_held_out_whom_it_predicts(tmp_path):
    with pytest.raises(DataError, match="patients 3, 4 are held out, and predicted"):
        write_teacher(tmp_path, 0, oof_of(np.arange(10)), [3, 4, 7])
    assert list(tmp_path.iterdir()) == []


def test_training_rows_without_a_prediction_are_counted(tmp_path):
    write_oof(oof_of(np.flatnonzero(FOLDS == 1)), tmp_path / "part.parquet")
    with pytest.raises(DataError, match="no prediction for 8 of the 16 training rows of fold 0"):
        predicted_targets(tmp_path / "part.parquet", pupils(), optimistic=True)


def test_samples_of_other_patients_are_refused(tmp_path):
    renamed = member("model", distributions(24, seed=1), TARGETS, np.roll(PATIENTS, 2))
    write_oof(renamed, tmp_path / "oof.parquet")
    with pytest.raises(DataError, match="16 samples belong to other patients than here"):
        predicted_targets(tmp_path / "oof.parquet", pupils(), optimistic=True)


def test_a_patient_in_two_folds_is_refused_even_where_optimism_is_allowed(tmp_path):
    samples = samples_of(PATIENTS)
    split = out_of_fold("random", samples, np.arange(24) % 2, TARGETS, distributions(24, seed=1))
    write_oof(split, tmp_path / "oof.parquet")
    with pytest.raises(DataError, match=r"12 patients lie in more than one fold: .*repeat labels"):
        predicted_targets(tmp_path / "oof.parquet", pupils(), optimistic=True)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*nowhere"):
        predicted_targets(tmp_path / "nowhere.parquet", pupils(), optimistic=True)
