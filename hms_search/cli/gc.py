"""``hms-search gc``: what takes disk space, what of it may go, and, if asked, away with it."""

from collections.abc import Iterator
from itertools import chain

from rich.console import Console

from hms_search.data.disk import remove
from hms_search.errors import StudyError
from hms_search.promotion.leftovers import leftovers
from hms_search.search.places import Places
from hms_search.search.retention import Held, checkpoints
from hms_search.search.storage import existing_storage
from hms_search.search.unused_data import unused_data


def gc_command(study: str | None, places: Places, *, stores: bool, apply: bool) -> None:
    """Print what is kept and what may go, line by line with size and reason, and remove the latter with ``apply``."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    verb = "removed" if apply else "may go"
    count, freed = 0, 0
    for held in _all(study, places, stores):
        if held.may_go and apply:
            _remove(held)
        said = verb if held.may_go else "kept"
        console.print(f"{said:7} {held.n_bytes / 1e6:9,.1f} MB  {held.path}: {held.reason}", markup=False)
        count, freed = count + held.may_go, freed + held.n_bytes * held.may_go
    console.print(f"{count} {verb}, {freed / 1e6:,.1f} MB")
    if count and not apply:
        console.print("nothing was removed; the same command with --apply does it")


def _all(study: str | None, places: Places, stores: bool) -> Iterator[Held]:
    with existing_storage(places.storage) as storage:
        yield from chain(
            checkpoints(storage, places, study),
            leftovers(places) if study is None else (),
            unused_data(storage, places) if stores else (),
        )


def _remove(held: Held) -> None:
    try:
        remove(held.path)
    except OSError as error:
        raise StudyError(f"cannot remove {held.path}: {error.strerror}; this user must be allowed to") from error
