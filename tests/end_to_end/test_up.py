"""What ``hms-search up`` says where it cannot serve the champion; ``test_dashboards.py`` has the app that it serves."""

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from crowned import crown
from small_models import write_model

from hms_search.cli.up import champion_app
from hms_search.search.places import Places
from hms_search.tracking import MlflowTracker

pytest.importorskip("gradio", reason="the web app is an optional part: pip install 'hms-search[app]'")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A registry with a champion."""
    places = Places(tmp_path)
    crown(write_model(tmp_path / "crowned"), places)
    return places


def said(places: Places) -> str:
    """Return what ``up`` says of the web app; none is started."""
    with ExitStack() as stack:
        servers, line = champion_app(places, "127.0.0.1", 0, stack)
        assert servers == ()
    assert "\n" not in line
    return line


def test_without_a_champion_the_way_to_one_is_named(tmp_path: Path) -> None:
    places = Places(tmp_path)
    MlflowTracker(places.tracking_uri, places.artifacts, study="small")
    assert "hms-search promote STUDY" in said(places)
    assert "hms-search promote STUDY" in said(Places(tmp_path, tracking="none"))


def test_what_keeps_the_app_from_starting_does_not_keep_the_dashboards(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(Places(places.root / "nowhere")).startswith("not started: MLflow at")
    (weights,) = places.artifacts.rglob("seed0-fold0.safetensors")
    weights.write_bytes(b"")
    assert "was changed since the model was written" in said(places)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert said(places) == "not installed; pip install 'hms-search[app]'"
