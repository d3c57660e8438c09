"""Slots: workers as a coordinator sees them, wherever they run."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Protocol

from hms_search.errors import ConfigError
from hms_search.search.executors import Executor, LocalExecutor, SlurmExecutor
from hms_search.search.trial import Job, Verdict
from hms_search.search.workers import Message, WorkerDied, WorkerSettings, start_workers


class Slot(Protocol):
    """A place for one trial after another.

    Attributes
    ----------
    slot
        Its number.
    job
        What it was handed and has not ended.
    """

    slot: int
    job: Job | None

    @property
    def idle(self) -> bool:
        """Whether it may be handed a trial; where it waits for a machine it has none and is not idle."""

    @property
    def connection(self) -> Connection:
        """What can be read as soon as it has something to say."""

    def submit(self, job: Job) -> None:
        """Hand it a trial; it must be idle."""

    def answer(self, verdict: Verdict) -> None:
        """Answer the epoch it waits on."""

    def receive(self) -> Message | WorkerDied | None:
        """Return what it has to say; None where that is of no concern to a trial."""

    def kill(self) -> WorkerDied | None:
        """End it at once; return what it was running."""

    def leave(self) -> None:
        """Tell it to end, without waiting."""

    def close(self) -> None:
        """Wait for it to end once it was told; nothing is left to do for a killed one."""


@contextmanager
def working_slots(executor: Executor, count: int, settings: WorkerSettings) -> Iterator[Sequence[Slot]]:
    """Give ``count`` slots of an executor, and close them at the end.

    Raises ConfigError where it is not installed, or submits sessions that have slots of their own.
    """
    if not count:
        yield ()
        return
    with ExitStack() as stack:
        slots: Sequence[Slot]
        if isinstance(executor, LocalExecutor):
            slots = start_workers(count, settings)
        elif isinstance(executor, SlurmExecutor):
            raise ConfigError("executor slurm submits sessions, found one that has it itself; use local or ray in them")
        else:
            try:
                from hms_search.search.ray_workers import ray_slots
            except ImportError:
                raise ConfigError(
                    'executor ray needs the package ray, found none; pip install "hms-search[ray]"'
                ) from None
            slots = stack.enter_context(ray_slots(executor, count, settings))
        for slot in slots:
            stack.callback(slot.close)
        for slot in slots:  # before the first is waited for
            stack.callback(slot.leave)
        yield slots


def ready_slots(slots: Sequence[Slot], timeout_s: float) -> list[Slot]:
    """Return the slots that have something to say, waiting at most ``timeout_s`` for the first."""
    by_connection = {slot.connection: slot for slot in slots}
    return [by_connection[connection] for connection in wait(list(by_connection), timeout_s)]  # type: ignore[index]
