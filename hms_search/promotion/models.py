"""The models of a working directory, and where the model lies that a user names."""

from dataclasses import dataclass
from pathlib import Path

from hms_search.errors import CheckpointError, TrackingError
from hms_search.inference.model_folder import CARD, ModelCard, is_model, read_card
from hms_search.promotion.register import CHAMPION
from hms_search.search.places import Places
from hms_search.tracking import NO_TRACKING
from hms_search.tracking.registry import DEFAULT_NAME, ModelRegistry, RegisteredVersion


@dataclass(frozen=True)
class KnownModel:
    """A model folder under ``mlruns/models``: its card, or why it cannot be read, and its versions in the registry."""

    name: str
    card: ModelCard | None
    fault: str
    versions: tuple[RegisteredVersion, ...]


def known_models(places: Places) -> tuple[KnownModel, ...]:
    """Return the models of a working directory, the newest first; cards are read, weights are not checked."""
    folders = [path.parent for path in places.models.glob(f"*/{CARD}") if is_model(path.parent)]
    registered = _registered(places) if folders else ()
    newest = sorted(folders, key=lambda folder: (folder / CARD).stat().st_mtime, reverse=True)
    return tuple(_known(folder, registered) for folder in newest)


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


def champions(places: Places) -> tuple[RegisteredVersion, ...]:
    """Return the champion of each registered model that has one, the model ``hms`` first."""
    crowned = [one for one in _registered(places) if CHAMPION in one.aliases]
    return tuple(sorted(crowned, key=lambda one: one.name != DEFAULT_NAME))


def _known(folder: Path, registered: tuple[RegisteredVersion, ...]) -> KnownModel:
    try:
        card = read_card(folder)
    except CheckpointError as error:
        return KnownModel(folder.name, None, str(error), ())
    run_id = card.origin.get("run_id", "")
    return KnownModel(card.name, card, "", tuple(one for one in registered if one.made_by(run_id)))


def _registered(places: Places) -> tuple[RegisteredVersion, ...]:
    if places.tracking_uri == NO_TRACKING:
        return ()
    return ModelRegistry(places.tracking_uri, places.artifacts).versions()
