"""Where the model lies that a user names."""

from pathlib import Path

from hms_search.errors import CheckpointError, TrackingError
from hms_search.search.session import Places
from hms_search.tracking.registry import ModelRegistry


def model_path(reference: str, places: Places) -> Path:
    """Return the model folder that a reference names: a folder as it is, else one of the model registry.

    ``reference`` is a model, ensemble or bundle folder, the name of one of this working directory's models, or what
    :meth:`ModelRegistry.find` knows: ``champion``, ``candidate``, ``NAME@alias``, ``NAME/version`` or the id of a run.
    A folder goes first.

    Raises CheckpointError where it is none of these.
    """
    for folder in (Path(reference), places.models / reference):
        if folder.is_dir():
            return folder
    try:
        registry = ModelRegistry(places.tracking_uri, places.artifacts)
        return registry.fetch(registry.find(reference))
    except TrackingError as error:
        raise CheckpointError(f"no model {reference!r}: there is no such folder, and {error}") from error
