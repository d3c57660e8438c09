"""A full disk, one that may not be written, or a storage that fails ends a session in one line that says how to go on.

Trials that were running are found by the next session, and go on after their last checkpoint.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hms_search.data.disk import telling_of_disk
from hms_search.errors import DiskError, HmsSearchError
from hms_search.search.events import Event, Finished
from hms_search.search.storage import file_of, telling_of_storage


@contextmanager
def session_on_disk(root: Path, storage: str) -> Iterator[None]:
    """Raise DiskError for whatever fails in a session because there is no room where its working directory lies.

    So it is where the file of its ``storage`` lies; StudyError is raised where that fails for another reason.
    """
    file = file_of(storage)
    other = None if file is None else file.parent
    with telling_of_disk(root, HmsSearchError, other=other), telling_of_storage(storage):
        yield


def ending_without_room(notify: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return ``notify`` followed by a DiskError where a trial has ended because no trial can be run."""

    def tell(event: Event) -> None:
        notify(event)
        if isinstance(event, Finished) and event.ended.stops:
            raise DiskError(event.ended.reason)

    return tell
