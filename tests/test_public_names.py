import subprocess
import sys

import pytest

import hms_search


@pytest.mark.parametrize("name", hms_search.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(hms_search, name).__doc__


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="run_experiment"):
        hms_search.run_experimant  # noqa: B018


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("hms_search", "torch"),
        ("hms_search.cli", "torch"),
        ("hms_search.experiment", "optuna"),
        ("hms_search.experiment", "mlflow"),
        ("hms_search.data.prepare", "torch"),
    ],
)
def test_an_import_brings_in_no_more_than_it_needs(module: str, unwanted: str) -> None:
    check = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
