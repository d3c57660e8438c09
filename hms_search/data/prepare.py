"""Prepare a Store from a data folder: parallel, resumable, with every refused file and row named in a report.

``prepare`` reads each recording once and writes shards (:mod:`hms_search.data.shards`), then the tables that tie them
to the rows of ``train.csv`` (:mod:`hms_search.data.index`). The data folder is only read.
"""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hms_search.component import fingerprint_of
from hms_search.data.atomic import TEMPORARY
from hms_search.data.hms import FOLDERS, KINDS, Kind, read_table, recording_path
from hms_search.data.index import (
    BAKED,
    FORMAT,
    HISTOGRAMS,
    MANIFEST,
    Rejection,
    read_manifest,
    read_rejected,
    write_tables,
)
from hms_search.data.pool import Pool, default_workers
from hms_search.data.progress import Progress, ignore
from hms_search.data.shards import SHARDS, Shard, ShardTask, read_shard, shard_size, write_shard
from hms_search.data.source import Source, scan
from hms_search.errors import DataError

LOCK = ".lock"


@dataclass(frozen=True)
class PrepareReport:
    """What is in the Store and what was refused; ``was_fresh`` and ``reused_shards`` say what was already there."""

    store: Path
    was_fresh: bool
    reused_shards: int
    n_rows: int
    n_recordings: dict[str, int]
    rejected: tuple[Rejection, ...]
    seconds: float


def is_fresh(root: Path, store_path: Path) -> bool:
    """Return whether the Store was made, in today's format, of this ``train.csv`` and files of these sizes, times."""
    manifest = read_manifest(store_path)
    return manifest is not None and manifest["key"] == scan(root).key()


def prepare(
    root: Path, out: Path, *, workers: int | None = None, on_progress: Callable[[Progress], None] = ignore
) -> PrepareReport:
    """Write the Store of the data folder ``root`` into the folder ``out``; a fresh Store (:func:`is_fresh`) is kept.

    After a kill the finished shards are kept too. Bad files and rows are refused and listed in the report and in
    ``rejected.csv``; the others go on. ``workers`` is the number of processes, one per core at most by default.

    Raises
    ------
    DataError
        Where ``train.csv`` cannot be used, nothing at all is usable, ``out`` cannot be written or is another folder's,
        or another ``prepare`` is writing it.
    """
    started = time.perf_counter()
    source = scan(root)
    reused, was_fresh = 0, is_fresh(root, out)
    if not was_fresh:
        table = read_table(root)
        with _writing(out):
            tasks, missing = _plan(table, source, out / SHARDS)
            done = {task.name: shard for task in tasks if (shard := read_shard(task))}
            reused = len(done)
            to_do = [task for task in tasks if task.name not in done]
            with Pool(min(len(to_do), workers or default_workers(len(to_do)))) as pool:
                _write_shards(pool, tasks, to_do, on_progress)
            written = [(task, done.get(task.name) or _read_back(task)) for task in tasks]
            write_tables(out, table, written, missing, key=source.key())
            _remove_others(out / SHARDS, {task.name for task in tasks})
    manifest = read_manifest(out)
    assert manifest is not None
    return PrepareReport(
        store=out,
        was_fresh=was_fresh,
        reused_shards=reused,
        n_rows=manifest["rows"],
        n_recordings=manifest["recordings"],
        rejected=read_rejected(out),
        seconds=time.perf_counter() - started,
    )


def _plan(table: pd.DataFrame, source: Source, folder: Path) -> tuple[list[ShardTask], list[Rejection]]:
    """Return the shards to write for the recordings that usable rows name, and the recordings without a file."""
    tasks: list[ShardTask] = []
    missing: list[Rejection] = []
    for kind in KINDS:
        files = source.files[kind]
        ids = sorted(int(i) for i in table.loc[table["fault"] == "", f"{kind}_id"].dropna().unique())
        missing += [
            Rejection(kind, str(i), f"no file {recording_path(Path(), kind, i)}") for i in ids if i not in files
        ]
        ids = [i for i in ids if i in files]
        size = shard_size(len(ids))
        tasks += [
            _task(source, folder, kind, number, ids[i : i + size]) for number, i in enumerate(range(0, len(ids), size))
        ]
    return tasks, missing


def _task(source: Source, folder: Path, kind: Kind, number: int, ids: Sequence[int]) -> ShardTask:
    stamps = [source.files[kind][i] for i in ids]
    return ShardTask(
        folder=folder,
        name=f"{kind}-{number:04d}",
        kind=kind,
        paths=tuple(stamp.path for stamp in stamps),
        key=fingerprint_of([FORMAT, kind, [[s.path.name, s.n_bytes, s.mtime_ns] for s in stamps]]),
        n_bytes=sum(stamp.n_bytes for stamp in stamps),
    )


def _write_shards(
    pool: Pool, tasks: Sequence[ShardTask], to_do: Sequence[ShardTask], on_progress: Callable[[Progress], None]
) -> None:
    total, total_bytes = sum(len(task.paths) for task in tasks), sum(task.n_bytes for task in tasks)
    done = total - sum(len(task.paths) for task in to_do)
    done_bytes = total_bytes - sum(task.n_bytes for task in to_do)
    on_progress(Progress(done, total, done_bytes, total_bytes))
    for task in pool.run(write_shard, to_do):
        done, done_bytes = done + len(task.paths), done_bytes + task.n_bytes
        on_progress(Progress(done, total, done_bytes, total_bytes))


def _read_back(task: ShardTask) -> Shard:
    shard = read_shard(task)
    if shard is None:
        raise DataError(f"the shard {task.folder / task.name} was changed by something else while it was being written")
    return shard


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Hold the folder of a Store for writing: no other ``prepare`` may, and until the end there is no Store in it."""
    try:
        _refuse_foreign(out)
        (out / SHARDS).mkdir(parents=True, exist_ok=True)
        with (out / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
            except BlockingIOError:
                raise DataError(
                    f"another process is preparing {out}: wait for it to end, or give another folder"
                ) from None
            (out / MANIFEST).unlink(missing_ok=True)
            for derived in (HISTOGRAMS, BAKED):
                shutil.rmtree(out / derived, ignore_errors=True)
            for leftover in (out / SHARDS).glob(f".*{TEMPORARY}"):
                leftover.unlink(missing_ok=True)
            yield
    except OSError as error:
        raise DataError(
            f"cannot write the Store {out}: {error.strerror or error}; free some space or give another folder"
        ) from error


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / LOCK).exists():
        raise DataError(f"{out} is not empty and not a Store: give a new or empty folder")
    if any((out / name).exists() for name in (*FOLDERS.values(), "train.csv")):
        raise DataError(f"{out} holds recordings: a Store needs a folder of its own")


def _remove_others(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.stem not in names:
            path.unlink(missing_ok=True)
