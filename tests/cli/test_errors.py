"""What the command line says of an error is what was typed."""

import sys
from pathlib import Path

import pytest

from hms_search.cli import main


@pytest.mark.parametrize("name", [":x:.yaml", "a:warning:b.yaml", "[bold]x.yaml"])
def test_a_path_is_said_as_it_was_typed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("run", "validate"):
        monkeypatch.setattr(sys, "argv", ["hms-search", command, name])
        with pytest.raises(SystemExit):
            main()
        captured = capsys.readouterr()
        assert f"no such file: {name}" in captured.out + captured.err
