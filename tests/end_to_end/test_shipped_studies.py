"""Every shipped study and system, made small, on synthetic recordings: each runs as it stands."""

from pathlib import Path

import pandas as pd
import pytest
from command_line import CommandLine
from shrunk import shrunk, shrunk_system

from hms_search.data.synthetic import write_synthetic
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.promotion.system_file import read_system
from hms_search.search.study import read_study

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "studies").glob("*.yaml"))
SYSTEMS = sorted((ROOT / "studies" / "systems").glob("*.yaml"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of synthetic recordings of four patients."""
    root = tmp_path_factory.mktemp("few") / "synthetic"
    write_synthetic(root, n_patients=4, seed=5, workers=1)
    return str(root)


@pytest.fixture(scope="module")
def few_seizures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of synthetic seizures of eight patients."""
    root = tmp_path_factory.mktemp("few") / "seizures"
    write_synthetic_seizures(root, n_patients=8, seed=5)
    return str(root)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One working directory for all studies: recordings are prepared, and databases laid out, for the first of them."""
    return tmp_path_factory.mktemp("together")


def options(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda file: file.stem)
def test_a_shipped_study_runs(
    hms_search: CommandLine,
    few: str,
    few_seizures: str,
    study: Path,
    together: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(together)
    data = few if read_study(study).task == "hms" else few_seizures
    output = hms_search("run", str(study), "--data", data, "--trials", "1", *options(shrunk(study)))
    assert "failed" not in output
    assert "best" in output


@pytest.mark.slow
@pytest.mark.parametrize("file", SYSTEMS, ids=lambda file: file.stem)
def test_a_system_is_rebuilt_by_one_command_and_predicts(hms_search: CommandLine, few: str, file: Path) -> None:
    system = read_system(str(file)).system
    small = options(shrunk_system(system, file))
    output = hms_search("promote", "--system", str(file), "--data", few, "--folds", "2", *small)
    name = output.split("predict ")[1].split()[0]
    assert name.startswith(system.name)
    for member in system.members:
        assert f"{system.name}-{member}-" in output
    predicted = hms_search("predict", name, "--data", few, "-o", "submission.csv")
    assert f"TTA {system.tta}" in predicted
    submission = pd.read_csv(hms_search.folder / "submission.csv")
    assert submission.iloc[:, 1:].sum(axis=1).sub(1).abs().max() < 1e-6
