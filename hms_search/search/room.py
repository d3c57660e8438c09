"""A full disk, or one that may not be written, ends a session in one line, with everything to go on with.

Trials that were running are found by the next session, and go on after their last checkpoint.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from hms_search.data.disk import telling_of_disk
from hms_search.errors import DiskError, HmsSearchError
from hms_search.search.events import Event, Finished


@contextmanager
def session_on_disk(root: Path) -> Iterator[None]:
    """Raise DiskError for whatever fails in a session because there is no room where its working directory lies."""
    with telling_of_disk(root, SQLAlchemyError, StorageInternalError, sqlite3.Error, HmsSearchError):
        yield


def ending_without_room(notify: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return ``notify`` followed by a DiskError where a trial has ended because no trial can be run."""

    def tell(event: Event) -> None:
        notify(event)
        if isinstance(event, Finished) and event.ended.stops:
            raise DiskError(event.ended.reason)

    return tell
