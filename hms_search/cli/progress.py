"""Progress of long steps: a bar with ETA on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from hms_search.data.progress import Progress


class StepProgress:
    """Shows named steps that report how far they are; call it with the step's title and its progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._said = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, title: str, step: Progress) -> None:
        """Take in how far a step is."""
        if not self._console.is_terminal:
            self._say(title, step)
            return
        if title not in self._tasks:
            self._bar.start()
            self._tasks[title] = self._bar.add_task(title, total=step.total)
        self._bar.update(self._tasks[title], completed=step.done, total=step.total)
        if step.done >= step.total:
            self._bar.stop()  # the live table may follow; two live displays exclude each other

    def _say(self, title: str, step: Progress) -> None:
        now = time.monotonic()
        start = self._started.setdefault(title, now)
        if step.done < step.total and now - self._said < 5:
            return
        self._said = now
        if step.done >= step.total:
            ending = f"done in {duration(now - start)}"
        elif step.done:
            ending = f"ETA {duration((now - start) / step.done * (step.total - step.done))}"
        else:
            ending = "ETA unknown yet"
        self._console.print(f"{title}: {step.done} of {step.total}, {ending}")


def duration(seconds: float) -> str:
    """Return seconds as a person writes them: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
