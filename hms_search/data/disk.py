"""Room on a disk: how much of it files take, and one clear error where there is none left."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hms_search.errors import DiskError, without_password

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_TOO_LITTLE = 2**20
"""Less than this is none: a database takes some pages to begin to write."""


@contextmanager
def telling_of_disk(folder: Path, *also: type[Exception], other: Path | None = None) -> Iterator[None]:
    """Raise DiskError where what fails inside does so because a folder's disk is full, or may not be written.

    An ``other`` folder, if any, is written inside too. Libraries often say less than the system did: RuntimeError, and
    the errors named in ``also``, are taken for that where a disk is found full.
    """
    folders = (folder,) if other is None else (folder, other)
    failures: tuple[type[Exception], ...] = (OSError, RuntimeError, *also)
    try:
        yield
    except DiskError:
        raise
    except failures as error:
        number = error.errno if isinstance(error, OSError) else None
        full = [one for one in folders if is_full(one)]
        if full or number in _FULL:
            raise DiskError(f"{_full(full[0] if full else folder)}: {_one_line(error)}") from error
        closed = [one for one in folders if number in _CLOSED and _lies_in(one, error)]
        if closed:
            raise DiskError(
                f"{closed[0]} cannot be written: {_one_line(error)}; make it writable for this user, or work elsewhere"
            ) from error
        raise


def is_full(folder: Path) -> bool:
    """Return whether nothing can be written any more where a folder lies, or would lie."""
    return shutil.disk_usage(_there(folder)).free < _TOO_LITTLE


def takes_files(folder: Path) -> bool:
    """Return whether this user may write to a folder, and there is room."""
    return os.access(folder, os.W_OK) and not is_full(folder)


def bytes_in(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; 0 where there is none, or it goes meanwhile."""
    total = 0
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        with suppress(FileNotFoundError):
            total += 0 if file.is_dir() or file.is_symlink() else file.stat().st_size
    return total


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is gone already is well gone."""
    for file in sorted(path.rglob("*"), reverse=True) if path.is_dir() and not path.is_symlink() else ():
        with suppress(FileNotFoundError):
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    with suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _full(folder: Path) -> str:
    where = _there(folder)
    return (
        f"the disk is full where {where} lies; free some space (hms-search gc lists what may go), then run the same "
        "command again: it goes on where it was"
    )


def _lies_in(folder: Path, error: Exception) -> bool:
    """Return whether an error is of a file in a folder, or does not say of which."""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)  # the link, not what it points to
    return named is None or Path(named).resolve().is_relative_to(folder.resolve())


def _there(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())


def _one_line(error: BaseException) -> str:
    """Return what was first raised: what libraries make of it is longer, and says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    return without_password(" ".join(str(getattr(error, "strerror", None) or error).split()))
