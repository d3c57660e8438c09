"""What MLflow is to be told of a run, written to disk before it is sent: a server that is away delays it, no more.

A folder per run: ``journal.jsonl``, a line per entry, only ever appended to; ``files``, what is to be kept with the
run, a folder per entry; and ``sent.json``, how many entries have reached MLflow and the run's id there.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hms_search.data.atomic import replacing
from hms_search.data.disk import telling_of_disk
from hms_search.errors import DataError, TrackingError

_JOURNAL, _FILES, _SENT, _LOCK = "journal.jsonl", "files", "sent.json", ".lock"


@dataclass(frozen=True)
class Entry:
    """One thing to tell: ``kind`` is a method of tracker or run, ``content`` its arguments; ``at_ms`` when it was."""

    kind: str
    at_ms: int
    content: Mapping[str, Any]
    files: Mapping[str, Path]


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
    """The journal of one run, in its folder; one process at a time appends to it."""

    folder: Path

    def append(self, kind: str, content: Mapping[str, Any], files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Write an entry, to stay whatever dies; raises DiskError or TrackingError where the disk does not take it."""
        with self._writing():
            number = self._cut()
            for name, data in files.items():
                path = self.folder / _FILES / str(number) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            line = json.dumps({"kind": kind, "at_ms": time.time_ns() // 1_000_000, "content": dict(content)})
            with (self.folder / _JOURNAL).open("ab") as file:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def entries(self) -> list[Entry]:
        """Return all whole entries; a last line that was cut off as its process died is none.

        Raises DataError where another line is no entry.
        """
        path = self.folder / _JOURNAL
        whole = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
        try:
            lines = [json.loads(line) for line in whole]
            return [
                Entry(line["kind"], line["at_ms"], line["content"], self._files(number))
                for number, line in enumerate(lines)
            ]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path}: is damaged; mend it, or remove {self.folder} and lose its metrics") from None

    @property
    def sent(self) -> Sent:
        """How far it has been sent; from the beginning where that cannot be read: to send twice does no harm."""
        path = self.folder / _SENT
        try:
            found = json.loads(path.read_text())
            return Sent(str(found["run_id"]), int(found["entries"]), bool(found["tried"]))
        except FileNotFoundError:
            return Sent()
        except (OSError, ValueError, KeyError, TypeError):
            return Sent(tried=True)

    def keep_sent(self, sent: Sent) -> None:
        """Keep how far it has been sent; raises as :meth:`append`."""
        with self._writing(), replacing(self.folder / _SENT) as partial:
            partial.write_text(json.dumps(asdict(sent)))

    def remove(self) -> None:
        """Remove it; all has been sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def lock(self) -> Path:
        """The file that is held locked by who sends it."""
        return self.folder / _LOCK

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with telling_of_disk(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self.lock.touch()
                yield
        except OSError as error:
            raise TrackingError(
                f"{self.folder}: cannot be written: {error.strerror}; the metrics of runs are kept there until MLflow "
                "has them, make it writable and run the study again"
            ) from error

    def _files(self, number: int) -> Mapping[str, Path]:
        folder = self.folder / _FILES / str(number)
        return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}

    def _cut(self) -> int:
        """Remove a last line without its end; return how many there are."""
        path = self.folder / _JOURNAL
        if not path.is_file():
            return 0
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        return whole.count(b"\n")
