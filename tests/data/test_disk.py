"""What is said of a disk that is full or may not be written."""

import errno
import sqlite3
from pathlib import Path

import pytest

from hms_search.data import disk
from hms_search.data.disk import telling_of_disk
from hms_search.errors import DiskError, StudyError


def test_the_disk_that_is_full_is_named_with_what_was_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(disk, "is_full", lambda folder: folder == other)
    named = pytest.raises(DiskError, match=f"^the disk is full where {other} lies; .*: disk of u:[*]{{3}}@h is full$")
    with named, telling_of_disk(tmp_path, StudyError, other=other):
        raise StudyError("long words about it") from sqlite3.Error("disk of u:secret@h\nis full")
    with (
        pytest.raises(DiskError, match=f"^the disk is full where {other} lies"),
        telling_of_disk(tmp_path, other=other),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DiskError, match=f"^the disk is full where {tmp_path} lies"), telling_of_disk(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    here, other = tmp_path / "here", tmp_path / "other"
    for folder in (here, other):
        with pytest.raises(DiskError, match=f"^{folder} cannot be written"), telling_of_disk(here, other=other):
            raise OSError(errno.EROFS, "Read-only file system", str(folder / "file"))
    with pytest.raises(DiskError, match=f"^{other} cannot be written"), telling_of_disk(here, other=other):
        raise OSError(errno.EROFS, "Read-only file system", "file", None, str(other / "file.lock"))  # a symbolic link
    with pytest.raises(OSError, match="Read-only"), telling_of_disk(here, other=other):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "third"))
