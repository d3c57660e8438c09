"""Out-of-fold files of seizure types."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from members import noisy_members, seizure_members

from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.oof import read_oof, write_oof
from hms_search.data.oof_alignment import align
from hms_search.errors import DataError


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    (oof,) = seizure_members((0.6,), n_patients=8)
    write_oof(oof, tmp_path / "oof.parquet")
    again = read_oof(tmp_path / "oof.parquet", name="a")
    assert again.task == "seizure_types"
    np.testing.assert_array_equal(again.probabilities, oof.probabilities)
    np.testing.assert_array_equal(again.targets, oof.targets)
    np.testing.assert_array_equal(again.folds, oof.folds)
    np.testing.assert_array_equal(again.patients, oof.patients)
    assert again.samples["file"].tolist() == oof.samples["file"].tolist()
    assert not again.high.any()
    columns = pd.read_parquet(tmp_path / "oof.parquet").columns.tolist()
    assert columns[:5] == ["sample_id", "file", "patient", "patient_id", "fold"]
    assert columns[-8:] == [f"pred_{name}" for name in SEIZURE_TYPES]


def test_a_file_without_a_column_is_refused_by_its_name(tmp_path: Path) -> None:
    (oof,) = seizure_members((0.6,), n_patients=8)
    write_oof(oof, tmp_path / "oof.parquet")
    table = pd.read_parquet(tmp_path / "oof.parquet").drop(columns=["fold", "target_MYSZ"])
    table.to_parquet(tmp_path / "less.parquet")
    with pytest.raises(DataError, match="lack the column fold, target_MYSZ"):
        read_oof(tmp_path / "less.parquet")


def test_members_of_two_tasks_are_not_blended() -> None:
    (seizures,) = seizure_members((0.6,), n_patients=8)
    with pytest.raises(DataError, match="members must be of one task, found votes: hms, a: seizure_types"):
        align([replace(noisy_members((0.5,))[0], name="votes"), seizures])


def test_members_on_folds_of_files_are_refused() -> None:
    one, other = seizure_members((0.6, 0.7), n_patients=8)
    leaking = replace(other, samples=other.samples.assign(fold=np.arange(len(other)) % 3))
    with pytest.raises(DataError, match="patients in more than one fold"):
        align([one, leaking])
