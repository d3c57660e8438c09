"""What a data folder holds at this moment: the names, sizes and times of its files, without opening a recording."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hms_search.component import fingerprint_of
from hms_search.data.hms import FOLDERS, KINDS, Kind
from hms_search.errors import DataError


@dataclass(frozen=True)
class FileStamp:
    """A file's size and time of last change: what tells, without reading it, that it is still the same."""

    path: Path
    n_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Source:
    """The files of a data folder by kind and id, the files that fit no id, and the digest of ``train.csv``."""

    root: Path
    table_digest: str
    files: dict[Kind, dict[int, FileStamp]]
    misplaced: tuple[Path, ...]

    def key(self) -> str:
        """Return the fingerprint of names, sizes, times and the content of ``train.csv``, wherever the folder is."""
        stamps = [
            [kind, recording_id, stamp.n_bytes, stamp.mtime_ns]
            for kind in KINDS
            for recording_id, stamp in sorted(self.files[kind].items())
        ]
        return fingerprint_of([self.table_digest, stamps])


def scan(root: Path) -> Source:
    """Return the files of a data folder; raises DataError where there is no folder or no readable ``train.csv``."""
    try:
        digest = hashlib.sha256((root / "train.csv").read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{root}: expected a data folder with train.csv, {' and '.join(FOLDERS.values())}: {error.strerror}"
        ) from error
    misplaced: list[Path] = []
    files = {kind: _stamps(root / FOLDERS[kind], misplaced) for kind in KINDS}
    return Source(root, digest, files, tuple(sorted(misplaced)))


def _stamps(folder: Path, misplaced: list[Path]) -> dict[int, FileStamp]:
    found: dict[int, FileStamp] = {}
    if not folder.is_dir():
        return found
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, _, ending = entry.name.rpartition(".")
            if ending == "parquet" and stem.isascii() and stem.isdigit() and entry.is_file():
                stat = entry.stat()
                found[int(stem)] = FileStamp(Path(entry.path), stat.st_size, stat.st_mtime_ns)
            else:
                misplaced.append(Path(entry.path))
    return found
