"""What MLflow is to be told of a run, written to disk before it is sent: a server that is away delays it, no more.

A folder per run: ``journal.jsonl``, a line per entry, only ever appended to, whose first line names the MLflow that all
are for, and the run where it had begun before; ``files``, what is to be kept with the run, a folder per entry; and
``sent.json``, how many entries have reached MLflow and the run's id there. A folder whose name begins with a dot is
what is left of one whose process died as it removed it.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from hms_search.data.atomic import replacing
from hms_search.data.disk import telling_of_disk
from hms_search.errors import DataError, TrackingError

_JOURNAL, _FILES, _SENT, _LOCK = "journal.jsonl", "files", "sent.json", ".lock"


@dataclass(frozen=True)
class Entry:
    """One thing to tell: ``kind`` is a method of tracker or run, ``content`` its arguments; ``at_ms`` when it was.

    ``leg`` is how often the trial had been gone on with when it was told; None where an earlier version wrote it, or
    it is nothing that one who goes on later could have told otherwise.
    """

    kind: str
    at_ms: int
    content: Mapping[str, Any]
    files: Mapping[str, Path]
    leg: int | None = None


@dataclass(frozen=True)
class Sent:
    """How far a journal has been sent: MLflow's id of the run, empty before it has one, and the number of entries.

    ``tried`` says that the next entry may have arrived, too.
    """

    run_id: str = ""
    entries: int = 0
    tried: bool = False


@dataclass(frozen=True)
class RunJournal:
    """The journal of one run, in its folder; one that is begun is kept as written for the MLflow ``to``."""

    folder: Path
    to: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it has entries, or is about to."""
        return (self.folder / _JOURNAL).is_file()

    def append(
        self,
        kind: str,
        content: Mapping[str, Any],
        files: Mapping[str, bytes] = MappingProxyType({}),
        *,
        known_as: str = "",
        leg: int | None = None,
    ) -> None:
        """Write an entry, to stay whatever dies.

        ``known_as`` names the run where this may be its first entry since the others were sent and removed.
        Raises DiskError or TrackingError where the disk does not take it.
        """
        with self._writing(), _open_locked(self.folder / _JOURNAL) as file:
            self._lock.touch()  # a full disk takes the entries that there are, but perhaps no file more
            number = _cut(file)
            for name, data in files.items():
                path = self.folder / _FILES / str(number) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            entry = {"kind": kind, "at_ms": time.time_ns() // 1_000_000, "content": dict(content)}
            if leg is not None:
                entry["leg"] = leg
            if not number:
                entry |= {"to": self.to, "known_as": known_as}
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return all whole entries; a last line that was cut off as its process died is none.

        Raises DataError where another line is no entry.
        """
        path = self.folder / _JOURNAL
        try:
            lines = [json.loads(line) for line in self._lines()]
            return [
                Entry(line["kind"], line["at_ms"], line["content"], self._files(number), line.get("leg"))
                for number, line in enumerate(lines)
            ]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: is damaged; mend it, or remove {self.folder} and lose its metrics") from None

    @property
    def is_behind(self) -> bool:
        """Whether it has entries that have not been sent."""
        return len(self._lines()) > self.sent.entries

    @property
    def written_for(self) -> str:
        """The MLflow that it was begun for; empty where that was not kept, or its first line is damaged."""
        return self._begun_with("to")

    @property
    def sent(self) -> Sent:
        """How far it has been sent; from the beginning where that cannot be read: to send twice does no harm."""
        path = self.folder / _SENT
        try:
            found = json.loads(path.read_text())
            return Sent(str(found["run_id"]), int(found["entries"]), bool(found["tried"]))
        except FileNotFoundError:
            return Sent(self._begun_with("known_as"))
        except (OSError, ValueError, KeyError, TypeError):
            return Sent(self._begun_with("known_as"), tried=True)

    def keep_sent(self, sent: Sent) -> None:
        """Keep how far it has been sent; raises as :meth:`append`."""
        with self._writing(), replacing(self.folder / _SENT) as partial:
            partial.write_text(json.dumps(asdict(sent)))

    def remove(self, n: int) -> None:
        """Remove it where it still has ``n`` entries: all have been sent.

        At once for all others: who saw its entries, but no longer that they were sent, would send them again.
        """
        gone = self.folder.with_name(f".{self.folder.name}")
        with suppress(OSError), _open_locked(self.folder / _JOURNAL) as file:
            if _cut(file) == n:
                self.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Hold the right to send it, and say whether that is so: not where another process does, or it is gone."""
        with ExitStack() as stack:
            is_held = False
            with suppress(FileNotFoundError, BlockingIOError):
                file = stack.enter_context(self._lock.open("ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_held = os.fstat(file.fileno()).st_ino == _inode(self._lock)
            yield is_held

    @property
    def _lock(self) -> Path:
        return self.folder / _LOCK

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with telling_of_disk(self.folder):
                yield
        except OSError as error:
            raise TrackingError(
                f"{self.folder}: cannot be written: {error.strerror}; the metrics of runs are kept there until MLflow "
                "has them, make it writable and run the study again"
            ) from error

    def _begun_with(self, key: str) -> str:
        """Return what the first line has beside its entry; empty where it has no such thing, or is damaged."""
        try:
            with (self.folder / _JOURNAL).open("rb") as file:  # asked at every sending: the first line only
                return str(json.loads(file.readline()).get(key, ""))
        except (FileNotFoundError, ValueError, AttributeError):
            return ""

    def _lines(self) -> list[bytes]:
        """Return the lines that were written whole."""
        try:
            return (self.folder / _JOURNAL).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:  # another process has removed it
            return []

    def _files(self, number: int) -> Mapping[str, Path]:
        folder = self.folder / _FILES / str(number)
        return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def _open_locked(path: Path) -> BinaryIO:
    """Open a file for appending, made where it is missing, once no other process has it open so."""
    while True:
        with suppress(FileExistsError, FileNotFoundError):  # another process removes the folder just now
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_ino == _inode(path):
                return file
            file.close()


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1


def _cut(file: BinaryIO) -> int:
    """Remove a last line without its end; return how many there are."""
    file.seek(0)
    content = file.read()
    file.truncate(content.rfind(b"\n") + 1)
    return content.count(b"\n")
