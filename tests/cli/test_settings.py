"""What the options of ``hms-search run`` put into a study."""

from pathlib import Path
from typing import Any

import pytest

from hms_search.cli.settings import run_settings
from hms_search.errors import ConfigError
from hms_search.search.study import study_document


def study(folder: Path, *lines: str) -> Path:
    path = folder / "study.yaml"
    path.write_text("\n".join(("name: small", *lines)))
    return path


def content(path: Path, *settings: str, **given: Any) -> Any:
    """A study's content with settings and options, whose names have underscores for dots."""
    options = {name.replace("_", "."): value for name, value in given.items()}
    return study_document(path, run_settings(path, settings, options)).content


def test_another_executor_of_the_file_is_replaced(tmp_path: Path) -> None:
    path = study(tmp_path, "executor: {name: slurm, partition: gpu, hours: 2}")
    found = content(path, "executor.cpus=4", executor_name="ray")
    assert found["executor"] == {"name": "ray", "cpus": 4}
    assert content(path, executor_name="local")["executor"] == {"name": "local"}


def test_the_executor_of_the_file_keeps_what_it_says(tmp_path: Path) -> None:
    path = study(tmp_path, "executor: {name: ray, cpus: 2}")
    found = content(path, executor_name="ray", executor_address="auto")
    assert found["executor"] == {"name": "ray", "cpus": 2, "address": "auto"}
    assert content(path, executor_address="auto")["executor"]["address"] == "auto"


@pytest.mark.parametrize(("lines", "found"), [((), "local"), (("executor: {name: slurm, partition: gpu}",), "slurm")])
def test_an_address_needs_a_ray_cluster(tmp_path: Path, lines: tuple[str, ...], found: str) -> None:
    path = study(tmp_path, *lines)
    with pytest.raises(ConfigError, match=f"--address .*, found executor {found}; add --executor ray"):
        content(path, executor_address="127.0.0.1:6379")


@pytest.mark.parametrize(
    ("line", "settings", "option", "root"),
    [
        ("", (), None, "/data"),
        ("data: {baked: true}", (), None, "/data"),
        ("data: {root: synthetic}", (), None, "synthetic"),
        ("", ("data.root=/set",), None, "/set"),
        ("", (), "/option", "/option"),
    ],
)
def test_the_environments_recordings_are_for_a_study_that_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, settings: tuple[str, ...], option: str | None, root: str
) -> None:
    monkeypatch.setenv("HMS_SEARCH_DATA", "/data")
    assert content(study(tmp_path, line), *settings, data_root=option)["data"]["root"] == root


def test_an_empty_variable_names_no_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMS_SEARCH_DATA", "")
    assert "data" not in content(study(tmp_path), data_root=None)
