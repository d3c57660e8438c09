"""What ``hms-search plan`` says of the stored study, and what it refuses."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hms_search.cli.app import app
from hms_search.cli.plan import _difference, plan_command
from hms_search.errors import ConfigError
from hms_search.search.places import Places
from hms_search.search.space_difference import Difference
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"


def said(fitting: int, *settings: str) -> str:
    (line,) = _difference(read_study(QUICKSTART, settings), Difference("migratable", trials=12, fitting=fitting))
    return line


def test_trials_are_offered_for_another_study_only_where_some_lie_in_its_space() -> None:
    assert "5 of its 12 trials lie in it" in said(5)
    assert "(--set name=quickstart_2 --migrate quickstart)" in said(5)
    assert "none of its 12 trials can be taken over" in said(0)
    assert "--migrate" not in said(0)


def test_what_is_offered_for_a_search_in_rounds_can_be_run() -> None:
    assert "(--set name=quickstart_2 --set rounds=null --migrate quickstart)" in said(5, "rounds={count: 2, trials: 4}")
    settings = ("rounds={count: 2, trials: 4}", "name=quickstart_2", "rounds=null", "migrate=quickstart")
    assert read_study(QUICKSTART, settings).migrate == "quickstart"


def test_a_number_of_trials_is_refused_where_rounds_have_their_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"each of its own number; write --set rounds\.trials=N"):
        plan_command(QUICKSTART, ("rounds={count: 2, trials: 4}", "trials=30"), Places(root=tmp_path))


def test_the_environments_recordings_are_planned_for_as_they_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HMS_SEARCH_DATA", "nowhere")
    shown = CliRunner().invoke(app, ["plan", str(QUICKSTART), "--set", "data.root=null"])
    assert "no such data folder: nowhere" in str(shown.exception)
