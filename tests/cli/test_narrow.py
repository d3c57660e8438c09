"""``hms-search narrow``: where the space is written."""

from pathlib import Path

import pytest

from hms_search.cli.narrow import narrow_command
from hms_search.errors import ConfigError
from hms_search.search.contract import contract_of, open_study
from hms_search.search.places import Places
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A working directory with a study without trials."""
    found = Places(root=tmp_path / "mlruns")
    config, storage = read_study(QUICKSTART), open_storage(found.storage)
    open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    close_storage(storage)
    return found


def test_the_space_is_written_to_a_file_whose_folder_is_made(places: Places, tmp_path: Path) -> None:
    narrow_command("quickstart", tmp_path / "new" / "space.yaml", places)
    assert "training.optimiser.lr" in (tmp_path / "new" / "space.yaml").read_text()


def test_an_output_that_is_no_file_is_refused_in_one_line(places: Places, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    for output in (tmp_path, tmp_path / "taken" / "space.yaml"):
        with pytest.raises(ConfigError, match="expected a file to write the space to") as refused:
            narrow_command("quickstart", output, places)
        assert "\n" not in str(refused.value)
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".partial")]
