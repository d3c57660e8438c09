"""What trainings outside a search left behind: a final model's, or of a trial that was run again."""

from collections.abc import Iterator
from pathlib import Path

from hms_search.inference.model_folder import is_model
from hms_search.search.locks import locked
from hms_search.search.places import Places
from hms_search.search.retention import IN_USE, Held


def leftovers(places: Places) -> Iterator[Held]:
    """Give what such trainings keep to go on with (:attr:`Places.unfinished`); it may go once their result is there.

    They end by removing it themselves, so that what is finished and still there was left by a process that died. All
    locks of the working directory are held meanwhile; while anything runs, all is kept.
    """
    folders = sorted(places.unfinished.iterdir()) if places.unfinished.is_dir() else []
    with locked(*sorted(places.lock("any").parent.glob("*.lock"))) as free:
        for folder in folders:
            result = _result(folder.name, places)
            reason = "the same command goes on with it" if result is None else f"its result is there: {result}"
            yield Held.at(folder, may_go=free and result is not None, reason=reason if free else IN_USE)


def _result(name: str, places: Places) -> Path | None:
    """Return the finished result of an unfinished training's name: a model, or a repetition of a study's trial."""
    study, _, identity = name.rpartition("-")
    if is_model(places.models / name):
        return places.models / name
    repetition = places.repeats / study / identity
    return repetition if repetition.is_dir() else None
