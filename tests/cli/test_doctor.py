"""What ``hms-search doctor`` looks at where something is wrong with the installation."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from command_line import CommandLine

from hms_search.cli import findings
from hms_search.search.contract import contract_of, open_study
from hms_search.search.findings import Finding
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
FEW = "study quickstart: warning: too few trials for the parameters"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def hms_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    config = read_study(QUICKSTART, ("trials=2",))
    storage = open_storage(f"sqlite:///{tmp_path / 'mlruns' / 'optuna.db'}")
    open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    close_storage(storage)
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_a_study_is_looked_at_on_a_full_disk(hms_search: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**11, 10**11, 10**8))
    output = hms_search("doctor", "quickstart", code=2)
    assert "installation: error: the disk is nearly full" in output
    assert FEW in output
    assert "not looked at" not in output


def test_where_libraries_are_broken_it_is_said_that_the_study_was_not_looked_at(
    hms_search: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Finding("error", "timm is missing", "hms-search needs timm, found none", "pip install timm")
    monkeypatch.setattr(findings, "library_findings", lambda: (broken,))
    output = hms_search("doctor", "quickstart", code=2)
    assert FEW not in output
    assert "stores and study quickstart: not looked at, for want of the libraries above" in output
    assert "stores: not looked at" in hms_search("doctor", code=2)
