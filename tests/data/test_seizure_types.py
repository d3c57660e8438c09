"""Seizure-type data: what is read, what is refused and how, and folds at both levels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hms_search.data.folds import FileFolds, GroupedFolds, RandomFolds, counterpart, plan_folds
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.seizure_types import SeizureTypes, check_seizure_types, is_seizure_folder
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.errors import DataError


def write(root: Path, *lines: tuple[str, str, str]) -> Path:
    root.mkdir(exist_ok=True)
    pd.DataFrame(lines, columns=["file", "label", "patient"]).to_csv(root / "labels.csv", index=False)
    return root


def samples(n: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 20, 24))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seizures") / "synthetic"
    write_synthetic_seizures(root, n_patients=16, seed=3)
    return root


def test_files_become_samples_with_their_type_and_patient(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    np.save(tmp_path / "one.npy", samples(3))
    np.savez_compressed(tmp_path / "deep" / "two.npz", samples=samples(5, seed=1))
    root = write(tmp_path, ("one.npy", "CPSZ", "b"), ("deep/two.npz", "ABSZ", "a"))
    found = SeizureTypes.open(root)
    np.testing.assert_array_equal(found.targets, np.eye(8)[[1, 0]])
    assert found.patients.tolist() == [1, 0]
    assert found.recording(0)["fft"].shape == (3, 20, 24)
    np.testing.assert_allclose(found.recording(1)["fft"], samples(5, seed=1), rtol=1e-6)


def test_the_fingerprint_names_the_content_wherever_it_lies(tmp_path: Path) -> None:
    def fingerprint(name: str, value: float, label: str = "ABSZ", patient: str = "a") -> str:
        root = write(tmp_path / name, ("one.npy", label, patient))
        np.save(root / "one.npy", np.full((3, 20, 24), value))
        return SeizureTypes.open(root).fingerprint

    first = fingerprint("first", 1.0)
    assert fingerprint("again", 1.0) == first
    others = [fingerprint("x", 2.0), fingerprint("y", 1.0, label="MYSZ"), fingerprint("z", 1.0, patient="b")]
    assert len({first, *others}) == 4


def test_everything_that_is_wrong_is_said_at_once_in_a_line_each(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", samples())
    np.save(tmp_path / "flat.npy", np.zeros((20, 24)))
    np.save(tmp_path / "nan.npy", np.where(samples() > 2, np.nan, samples()))
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "text.npy", np.full((3, 20, 24), "x"))
    np.savez(tmp_path / "both.npz", one=samples(), two=samples())
    (tmp_path / "cut.npy").write_bytes((tmp_path / "good.npy").read_bytes()[:500])
    (tmp_path / "zip.npz").write_bytes(b"PK no archive")
    names = ("flat.npy", "nan.npy", "pickle.npy", "text.npy", "both.npz", "cut.npy", "zip.npz", "absent.npy")
    root = write(
        tmp_path,
        ("good.npy", "ABSZ", "a"),
        ("good.npy", "ABSZ", "a"),
        *((name, "FNSZ", "a") for name in names),
        ("../outside.npy", "GNSZ", "b"),
        ("mat.mat", "ABS", ""),
    )
    report = check_seizure_types(root)
    assert not report.passed
    with pytest.raises(DataError) as caught:
        SeizureTypes.open(root)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("13 faults")
    said = {line.split(": ")[0]: line for line in lines[1:]}
    assert {*names, "labels.csv:3", "labels.csv:12", "labels.csv:13"} == said.keys()
    assert "expected FFT samples [samples, 20, 24], found [20, 24]" in said["flat.npy"]
    assert "NaN or infinity" in said["nan.npy"]
    assert "Python objects" in said["pickle.npy"]
    assert "found 2 arrays in one file; save one" in said["both.npz"]
    assert "No such file" in said["absent.npy"]
    assert "a path inside the folder" in said["labels.csv:12"]
    assert any("did you mean 'ABSZ'?" in line for line in lines)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected a folder with labels.csv"),
        ("", "is no table"),
        ("file,label\n", "missing: patient"),
        ("file,label,patient\n", "expected a line per file, found none"),
    ],
)
def test_a_folder_without_a_table_is_one_clear_line(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(DataError, match=said) as caught:
        SeizureTypes.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_compressed_file_that_claims_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_search.data.fft_samples._MOST_BYTES", 10_000)
    np.savez_compressed(tmp_path / "bomb.npz", np.zeros((1000, 20, 24)))
    root = write(tmp_path, ("bomb.npz", "ABSZ", "a"))
    with pytest.raises(DataError, match="a claim of 3840000 bytes, more than 10000"):
        SeizureTypes.open(root)


def test_synthetic_seizures_say_so_and_depend_on_the_seed_alone(synthetic: Path, tmp_path: Path) -> None:
    assert "SYNTHETIC" in (synthetic / "SYNTHETIC.md").read_text()
    assert is_seizure_folder(synthetic)
    assert check_seizure_types(synthetic).passed
    first = SeizureTypes.open(synthetic)
    assert set(first.samples["label"]) == set(SEIZURE_TYPES)
    write_synthetic_seizures(tmp_path / "again", n_patients=16, seed=3)
    write_synthetic_seizures(tmp_path / "other", n_patients=16, seed=4)
    assert SeizureTypes.open(tmp_path / "again").fingerprint == first.fingerprint
    assert SeizureTypes.open(tmp_path / "other").fingerprint != first.fingerprint
    assert not write_synthetic_seizures(synthetic, n_patients=16, seed=3).written
    with pytest.raises(DataError, match="holds other data"):
        write_synthetic_seizures(synthetic, n_patients=16, seed=4)


def test_folds_of_files_are_balanced_by_type_and_share_patients(synthetic: Path) -> None:
    found = SeizureTypes.open(synthetic)
    plan = plan_folds(FileFolds(n_folds=5), found)
    assert plan.shared_patients > 10
    for kind in range(len(SEIZURE_TYPES)):
        sizes = np.bincount(plan.assignment[found.targets.argmax(axis=1) == kind], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    of_patients = plan_folds(GroupedFolds(n_folds=5), found)
    assert of_patients.shared_patients == 0


def test_the_other_level_of_folds_has_as_many() -> None:
    assert counterpart(FileFolds(n_folds=4, use=(1,), seed=7)) == GroupedFolds(n_folds=4, use=(1,), seed=7)
    assert counterpart(GroupedFolds(n_folds=4)) == FileFolds(n_folds=4)
    assert isinstance(counterpart(RandomFolds()), GroupedFolds)
