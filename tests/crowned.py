"""A champion in a model registry, without a study or a promotion."""

from pathlib import Path

from hms_search.search.places import Places
from hms_search.tracking import MlflowTracker
from hms_search.tracking.registry import ModelRegistry


def crown(model: Path, places: Places, *, name: str = "hms") -> None:
    """Register a model folder under a name and give it the alias ``champion``."""
    run = MlflowTracker(places.tracking_uri, places.artifacts, study="crowned").start_study(tags={}, texts={})
    registry = ModelRegistry(places.tracking_uri, places.artifacts)
    registry.set_alias(name, "champion", registry.register(run, model, name=name, tags={}))
