"""Teachers on the command line: trained, learnt from, and refused where they would leak."""

from pathlib import Path

import pytest
from command_line import CommandLine

RUN = ("run", "small.yaml", "--data", "recordings", "--trials", "1", "--set", "space.base.training.epochs=1")
FOLDS = ("--set", "folds={name: grouped, n_folds: 3, use: [0, 1]}")


@pytest.mark.slow
def test_a_study_learns_from_teachers_that_did_not_see_its_validated_patients(hms_search: CommandLine) -> None:
    hms_search(*RUN, *FOLDS)
    output = hms_search("teach", "small", "-o", "teachers")
    assert "to learn from them" in output
    files = sorted(file.name for file in Path(hms_search.folder, "teachers").glob("*/fold*.parquet"))
    assert files == ["fold0.parquet", "fold1.parquet"]
    student = "space.base.training.noisy_student={oof: teachers, probability: 0.5}"
    taught = hms_search(*RUN, *FOLDS, "--set", "name=taught", "--set", student)
    assert "1 complete" in taught
    hms_search("promote", "small", "--folds", "3", "--epochs", "1")
    oof = next(Path(hms_search.folder, "mlruns", "models").glob("*/oof.parquet"))
    leaking = f"space.base.training.noisy_student={{oof: {oof}, probability: 0.5}}"
    refused = hms_search(*RUN, *FOLDS, "--set", "name=leaking", "--set", leaking, code=1)
    assert "optimistic: true" in refused


def test_two_folds_leave_nothing_to_teach_with(hms_search: CommandLine) -> None:
    hms_search(*RUN)
    assert "teachers need at least three folds" in hms_search("teach", "small", code=2)
    assert "no study 'x'" in hms_search("teach", "x", code=2)
