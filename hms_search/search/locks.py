"""Locks of a working directory and beside a storage: who runs a study, which the system forgets with the process."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hms_search.data.disk import telling_of_disk
from hms_search.errors import StudyError

_LOGGER = logging.getLogger(__name__)
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def only_session(path: Path, study: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a study's lock, ``shared`` with other sessions that share the study.

    Raises StudyError where another process holds it in another way.
    """
    with _opened(path) as descriptor:
        try:
            _flock(path, descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except BlockingIOError:
            raise StudyError(
                f"study {study!r} is being run or promoted by another process here; wait for it, or stop it first"
            ) from None
        yield


@contextmanager
def only_session_beside(path: Path, study: str, root: Path) -> Iterator[None]:
    """Hold a study's lock beside the file that its storage is in, which sessions of several folders may name.

    Raises StudyError where another process holds it or the file is nowhere, DiskError where it may not be written.
    ``root`` is the working directory's.
    """
    with ExitStack() as stack:
        with telling_of_disk(path.parent), telling_of_disk(root):
            try:
                stack.enter_context(only_session(path, study))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise StudyError(
                    f"storage in {path.parent}: {error.strerror}; name a file in a folder this user may write"
                ) from error
        yield


@contextmanager
def one_after_the_other(path: Path) -> Iterator[None]:
    """Hold a lock, waiting for it."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(*locks: Path) -> Iterator[bool]:
    """Hold locks where nobody else does, and say whether that is so; where it is not, hold none."""
    with ExitStack() as stack:
        free = False
        with suppress(BlockingIOError):
            for path in dict.fromkeys(locks):
                _flock(path, stack.enter_context(_opened(path)), fcntl.LOCK_EX)
            free = True
        if not free:
            stack.close()
        yield free


def _flock(path: Path, descriptor: int, how: int) -> None:
    """Lock a file; raises BlockingIOError where another process does."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _LOGGER.warning("%s: its file system has no locks; see to it that nobody else runs this study", path)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
