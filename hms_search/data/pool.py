"""Worker processes for work over many files, which end by themselves when their parent is killed.

Each worker is spawned and talks over its own pipe. A killed parent closes the pipes, so its workers stop after the task
in hand; a killed worker closes its pipe, so the parent notices at once instead of waiting for ever.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self, TypeVar

from hms_search.errors import DataError
from hms_search.host_processors import usable_processors

T = TypeVar("T")
R = TypeVar("R")


def default_workers(n_tasks: int) -> int:
    """Return one worker per usable processor, at most one for four tasks: starting one costs about a second."""
    return max(1, min(usable_processors(), n_tasks // 4))


class Pool:
    """A number of worker processes; with one worker the work is done in this process and nothing is started."""

    def __init__(self, workers: int) -> None:
        self._size = workers
        self._workers: dict[Connection, SpawnProcess] = {}

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._size if self._size > 1 else 0):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs,), daemon=True)
            worker.start()
            theirs.close()
            self._workers[ours] = worker
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for connection, worker in self._workers.items():
            connection.close()
            if kind is not None:
                worker.terminate()
            worker.join()
        self._workers.clear()

    def run(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Yield ``function(task)`` of every task as they finish, in no fixed order.

        ``function`` is a module-level function; its DataError or OSError is raised here. A worker that dies is a
        DataError.
        """
        if self._size <= 1:
            for task in tasks:
                yield function(task)
            return
        queue = iter(tasks)
        busy = {connection for connection in self._workers if _give(connection, function, queue)}
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                result = self._take(connection)
                if not _give(connection, function, queue):
                    busy.discard(connection)
                yield result

    def _take(self, connection: Connection) -> Any:
        try:
            result, error = connection.recv()
        except (EOFError, ConnectionError):
            worker = self._workers[connection]
            worker.join()
            raise DataError(
                f"a worker process ended with exit code {worker.exitcode} (-9: killed, often for memory); "
                "run again, it goes on where it stopped; fewer workers need less memory"
            ) from None
        if error is not None:
            raise error
        return result


def _give(connection: Connection, function: Callable[[Any], Any], queue: Iterator[Any]) -> bool:
    """Hand out the next task; False where none is left."""
    for task in queue:
        with suppress(ConnectionError):  # a dead worker is reported when its result is taken
            connection.send((function, task))
        return True
    return False


def _work(connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with suppress(EOFError, ConnectionError):
        while True:
            function, task = connection.recv()
            reply: tuple[Any, Exception | None]
            try:
                reply = function(task), None
            except (DataError, OSError) as error:
                reply = None, error
            connection.send(reply)
