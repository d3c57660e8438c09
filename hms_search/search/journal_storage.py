"""A study in a file that is only appended to, for network file systems, where SQLite's locks are not to be trusted.

A process that dies while it writes leaves half a line. Optuna's next record would be glued to it, and from the one
after that on nobody could read the file any more.
"""

import os
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock

from hms_search.errors import StudyError

_STEP = 2**16


def open_journal(path: Path) -> JournalStorage:
    """Return the storage in a file, made where it is missing.

    Raises OSError where it cannot be written, StudyError where it is another kind of file or damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    backend: BaseJournalBackend = JournalFileBackend(str(path), lock_obj=_MendingLock(path))
    try:
        return JournalStorage(backend)
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"storage {path}: expected a journal of Optuna's, found a line that is none ({error}); "
            "name another file, or restore it from a copy"
        ) from error


class _MendingLock(JournalFileSymlinkLock):
    """Optuna's lock for any network file system; whoever gets it first cuts off half a line."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        acquired = super().acquire()
        cut_torn_line(self._path)
        return acquired


def cut_torn_line(path: Path) -> int:
    """Cut off what follows the last whole line of a file; return how many bytes that was."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = size
        while end > 0:
            start = max(0, end - _STEP)
            file.seek(start)
            last = file.read(end - start).rfind(b"\n")
            if last >= 0:
                end = start + last + 1
                break
            end = start
    if end < size:
        os.truncate(path, end)
    return size - end
