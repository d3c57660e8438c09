"""The doctor of the installation: each thing it looks for, where it is and where it is not."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hms_search.search.findings import Finding
from hms_search.search.installation import (
    disk_space,
    idle_gpu,
    library_findings,
    machine_findings,
    missing_extras,
    outdated,
    processors,
    requirements,
    torch_pair,
)

VERSIONS = {"torch": "2.15.0", "torchvision": "0.29.2", "optuna": "5.0.0", "timm": "1.0.31"}


def versions(**other: str | None) -> dict[str, str | None]:
    return {**VERSIONS, **other}


def only(found: Iterable[Finding]) -> Finding | None:
    told = list(found)
    assert len(told) <= 1
    return told[0] if told else None


@pytest.mark.parametrize(
    ("torch", "needs", "failure", "severity"),
    [
        ("2.15.0", "torch>=2.14.0", "", None),
        ("2.15.0+cpu", "torch>=2.14.0", "RuntimeError: operator torchvision::nms does not exist", "error"),
        ("2.15.0+cpu", "torch>=2.14.0", "", "warning"),
        ("2.13.0", "torch==2.15.0", "", "warning"),
    ],
)
def test_a_torchvision_of_another_torch_is_found(torch: str, needs: str, failure: str, severity: str | None) -> None:
    finding = only(torch_pair(versions(torch=torch).get, [needs], lambda _: failure))
    assert (finding.severity if finding else None) == severity
    assert finding is None or torch in finding.evidence
    assert failure in (finding.evidence if finding else "")


def test_a_library_below_its_floor_or_missing_is_found() -> None:
    needed = [Requirement("optuna>=5.0,<6"), Requirement("timm>=1.0.15")]
    assert only(outdated(needed, versions().get)) is None
    old = only(outdated(needed, versions(optuna="4.9.0").get))
    assert old is not None
    assert "found 4.9.0" in old.evidence
    assert old.severity == "error"
    gone = only(outdated(needed, versions(timm=None).get))
    assert gone is not None
    assert gone.change == "pip install 'timm>=1.0.15'"


def test_an_extra_that_is_not_installed_is_a_note_and_the_developers_is_none() -> None:
    needed = {"": (), "edf": (Requirement("mne>=1.10"),), "dev": (Requirement("pytest>=8"),)}
    finding = only(missing_extras(needed, versions().get))
    assert finding is not None
    assert finding.severity == "note"
    assert finding.change.endswith("pip install 'hms-search[edf]'")
    assert only(missing_extras(needed, versions(mne="1.10.1").get)) is None
    stale = only(missing_extras(needed, versions(mne="1.9.0").get))
    assert stale is not None
    assert stale.severity == "warning"


@pytest.mark.parametrize(("free_gb", "severity"), [(0.4, "error"), (6.0, "warning"), (50.0, None)])
def test_a_disk_that_will_be_full_is_found(free_gb: float, severity: str | None) -> None:
    finding = only(disk_space(Path("mlruns"), free_gb))
    assert (finding.severity if finding else None) == severity


@pytest.mark.parametrize(
    ("cores", "quota", "threads", "change"),
    [
        (2, None, "8", "OMP_NUM_THREADS=2"),
        (16, 2.0, None, "OMP_NUM_THREADS=2"),
        (16, 2.0, "2", None),
        (2, None, None, None),
        (4, 0.5, "1", None),
    ],
)
def test_more_threads_than_processors_are_found(
    cores: int, quota: float | None, threads: str | None, change: str | None
) -> None:
    finding = only(processors(cores, quota, threads))
    assert (finding.change if finding else None) == change


def test_a_gpu_that_pytorch_cannot_use_is_found() -> None:
    assert only(idle_gpu("2.15.0+cpu", has_gpu=True)) is not None
    assert only(idle_gpu("2.15.0+cpu", has_gpu=False)) is None
    assert only(idle_gpu("2.15.0", has_gpu=True)) is None


def test_the_requirements_are_those_of_the_project() -> None:
    needed = requirements()
    assert {"optuna", "torch", "torchvision"} <= {requirement.name for requirement in needed[""]}
    assert [requirement.name for requirement in needed["edf"]] == ["mne"]


def test_this_installation_has_no_errors(tmp_path: Path) -> None:
    found = (*library_findings(), *machine_findings(tmp_path))
    assert [finding for finding in found if finding.severity == "error"] == []


def test_looking_at_an_installation_imports_nothing_that_may_be_broken() -> None:
    code = "import sys, hms_search.cli.findings; print(sorted({'torch', 'timm', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
