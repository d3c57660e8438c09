"""How a model is named: by its folder, or as the registry knows it."""

from pathlib import Path

import pytest
from small_models import write_model

from hms_search.errors import CheckpointError
from hms_search.inference.model_folder import open_model
from hms_search.promotion.models import model_path
from hms_search.search.places import Places
from hms_search.tracking import open_tracker
from hms_search.tracking.registry import ModelRegistry


def test_a_folder_is_itself_and_a_model_of_the_working_directory_goes_by_its_name(tmp_path: Path) -> None:
    places = Places(root=tmp_path / "mlruns")
    by_name = write_model(places.models / "mine")
    by_path = write_model(tmp_path / "elsewhere")
    assert model_path("mine", places) == by_name
    assert model_path(str(by_path), places) == by_path


def test_a_name_that_is_neither_folder_nor_registered_is_refused_with_both_reasons(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no model 'champion': there is no such folder, and MLflow at .* no file"
    ):
        model_path("champion", Places(root=tmp_path / "mlruns"))


def test_a_registered_model_is_found_by_alias_version_and_run(tmp_path: Path) -> None:
    places = Places(root=tmp_path / "mlruns")
    tracker = open_tracker(places.tracking_uri, places.artifacts, study="small")
    run_id = tracker.start_study(tags={}, texts={})
    registry = ModelRegistry(places.tracking_uri, places.artifacts)
    for name in ("first", "second"):
        registry.register(run_id, write_model(tmp_path / name, name=name, networks=1), tags={})
    registry.set_alias("hms", "champion", 1)
    registry.set_alias("hms", "candidate", 2)
    expected = {
        **dict.fromkeys(("champion", "hms@champion", "hms/1", "models:/hms/1"), "first"),
        **dict.fromkeys(("candidate", "hms@candidate", "hms/2", run_id), "second"),
    }
    for reference, name in expected.items():
        assert open_model(model_path(reference, places)).card.name == name, reference
    with pytest.raises(CheckpointError, match=r"no model 'hms/3': there is no such folder, and .* it has hms/1"):
        model_path("hms/3", places)
