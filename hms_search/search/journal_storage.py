"""A study in a file that is only appended to, for network file systems, where SQLite's locks are not to be trusted.

A process that dies while it writes leaves half a line. Optuna's next record would be glued to it, and from the one
after that on nobody could read the file any more.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock

from hms_search.errors import StudyError

GRACE_S = 30.0
"""How long one lock may be held before it is taken for that of a process that died: an append takes milliseconds."""
_STEP = 2**16


def open_journal(path: Path) -> JournalStorage:
    """Return the storage in a file, made where it is missing.

    Raises OSError where it cannot be written, StudyError where it is another kind of file or damaged.
    """
    path = path.resolve()  # the storage outlives a change of the working directory
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
    """Optuna's lock for any network file system; whoever gets it first cuts off half a line.

    Optuna asks how old a lock is of what it points to, and for ever where that is not there: where the folder was
    moved, say, while the lock was held by a process that died.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        pause_s, seen, since = 0.001, self._holder(), time.monotonic()
        while not self._taken():
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
            now, holder = time.monotonic(), self._holder()
            if holder != seen:
                seen, since = holder, now
            elif holder is not None and now - since > GRACE_S:
                with suppress(RuntimeError):  # another process was quicker
                    self.release()
        cut_torn_line(self._path)
        return True

    def _taken(self) -> bool:
        """Take the lock, which points beside itself; say whether it was free."""
        try:
            Path(self._lock_file).symlink_to(self._path.name)
        except FileExistsError:
            return False
        return True

    def _holder(self) -> tuple[int, int] | None:
        """Return what tells the link of one holder from another's; None: there is none."""
        try:
            found = Path(self._lock_file).lstat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


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
