"""The line in which a model's work waits: one thread does it all, where it can the process's main thread.

PyTorch keeps threads and memory of its own for every thread that it is called from. GNU OpenMP lets those of the first
spin between two operations and those of all others sleep, since more threads wait than there are cores: in any other
thread EfficientNet-B0 took 1.5 times as long.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Returned = TypeVar("Returned")

_LOOK_S = 0.2


class MainThreadLine(Executor):
    """An executor whose calls run in the thread that calls :meth:`work_while`, first come first served."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, fn: Callable[Given, Returned], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Returned]:
        """Put a call at the end of the line."""
        future: Future[Returned] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whoever waits for the call gets it, as from the standard ones
                future.set_exception(error)

        self._waiting.put(run)
        return future

    def work_while(self, others: threading.Thread, *, on_idle: Callable[[], None] = lambda: None) -> None:
        """Do what is in the line until the thread that fills it has ended; ``on_idle`` once whenever it runs empty."""
        worked = False
        while others.is_alive():
            try:
                run = self._waiting.get(timeout=_LOOK_S)
            except queue.Empty:
                if worked:
                    on_idle()
                worked = False
                continue
            run()
            worked = True
