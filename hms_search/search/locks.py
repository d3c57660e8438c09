"""Locks of a working directory: who runs a study here, as the system forgets when the process ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hms_search.errors import StudyError


@contextmanager
def only_session(path: Path, study: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a study's lock, ``shared`` with other sessions that share the study.

    Raises StudyError where another process holds it in another way.
    """
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyError(
                f"study {study!r} is being run or promoted by another process here; wait for it, or stop it first"
            ) from None
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
                fcntl.flock(stack.enter_context(_opened(path)), fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        if not free:
            stack.close()
        yield free


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
