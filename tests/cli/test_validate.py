"""What ``hms-search validate`` says of a study."""

from pathlib import Path

import pytest

from hms_search.cli.validate import validate_command
from hms_search.document import dump_yaml
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("trials=6",), "a valid study of 6 trials over"),
        (("trials=6", "rounds={count: 2, trials: 8}"), "a valid study of 16 trials in 2 rounds over"),
    ],
)
def test_the_trials_of_all_rounds_are_counted(
    settings: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(dump_yaml(read_study(QUICKSTART, settings).to_dict()))
    assert validate_command([file]) == 0
    assert words in capsys.readouterr().out
