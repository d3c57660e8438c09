"""``hms-search run``: a live table on a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hms_search.cli.progress import StepProgress, duration
from hms_search.cli.slurm import submit_command
from hms_search.cli.study_file import given_study
from hms_search.cli.tables import changes_table, outcome_text, print_report
from hms_search.data.folds import level_of
from hms_search.search.events import Event, Finished, Judged, Notice, RoundBegan, Submitted
from hms_search.search.executors import SlurmExecutor
from hms_search.search.places import Places
from hms_search.search.report import StudyReport
from hms_search.search.session import run_study
from hms_search.search.study import StudyConfig

_ROWS = 12
_TYPICAL_OF = 4


def run_command(path: Path, settings: tuple[str, ...], places: Places) -> None:
    """Run the study of a file, here or as jobs elsewhere, and print its report."""
    config = given_study(path, settings)
    if isinstance(config.executor, SlurmExecutor):
        submit_command(path, settings, config, config.executor, places)
    else:
        run_and_report(config, places, again=f"hms-search run {path} with the same options")


def run_and_report(config: StudyConfig, places: Places, *, again: str, helps: bool = False) -> None:
    """Run a study and print its report; the exit code is 1 where no trial of it has completed.

    ``again`` is the command that goes on with it; for ``helps`` see :func:`hms_search.search.session.run_study`.
    """
    console = Console(highlight=False, emoji=False)
    view = StudyView(config, console)
    with StepProgress(console) as progress, view.shown():
        report = run_study(config, places, notify=view.on_event, progress=progress, helps=helps)
    print_report(report, console=console)
    _say_next(report, console, again)
    if report.best is None:
        raise typer.Exit(1)


@dataclass
class _Row:
    """What the live table shows of one trial."""

    number: int
    baseline: bool
    started: float
    step: int = 0
    beside: int = 0
    where: str = "starting"
    value: float | None = None
    outcome: str = "running"
    reason: str = ""
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """All that it has trained, on the folds of both levels."""
        return self.step + self.beside


class StudyView:
    """Shows a running study from its events: a live table on a terminal, one plain line per ended trial elsewhere."""

    def __init__(self, config: StudyConfig, console: Console) -> None:
        self._config, self._console, self._task = config, console, config.learned
        self._steps = config.steps
        self._n_rounds = 1 if config.rounds is None else config.rounds.count
        self._rounds_to_come = self._n_rounds - 1
        self._of_a_round = self._to_come = config.trials if config.rounds is None else config.rounds.trials
        self._rows: dict[int, _Row] = {}
        self._epoch_seconds: list[float] = []
        self._epochs_spent, self._seconds_spent, self._ends = 0, 0.0, math.inf
        """What all trials of the study have cost, as far as it has a budget; when this session's time is up."""
        self._live: Live | None = None
        self._last_plain = 0.0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the live table up while a study runs."""
        try:
            yield
        finally:
            if self._live is not None:
                self._live.update(self._table(), refresh=True)
                self._live.stop()

    def on_event(self, event: Event) -> None:
        """Take in one event of the coordinator."""
        if isinstance(event, Notice):
            text = ("warning: " if event.warning else "") + event.text
            self._console.print(text, style="yellow", markup=False, soft_wrap=not self._console.is_terminal)
        elif isinstance(event, RoundBegan):
            self._round_began(event)
        elif isinstance(event, Submitted):
            self._submitted(event)
        elif isinstance(event, Judged):
            self._judged(event)
        elif isinstance(event, Finished):
            self._finished(event)
        self._refresh()

    def _round_began(self, event: RoundBegan) -> None:
        self._config = event.config
        self._rounds_to_come = max(0, self._n_rounds - event.number)
        self._rows.clear()
        self._to_come = self._of_a_round
        self._epochs_spent, self._seconds_spent, self._ends = 0, 0.0, math.inf
        self._console.print(f"round {event.number}: study {event.config.name}", markup=False)
        self._console.print(changes_table(event.changes))

    def _submitted(self, event: Submitted) -> None:
        before = self._rows.get(event.number)
        step = before.step if before is not None else 0
        running = sum(row.seconds for row in self._rows.values() if row.outcome == "running")
        self._rows[event.number] = _Row(event.number, event.baseline, time.monotonic(), step)
        self._to_come = event.to_come
        self._epochs_spent, self._seconds_spent = event.epochs, 3600 * event.hours + running
        self._ends = time.monotonic() + event.seconds_left

    def _judged(self, event: Judged) -> None:
        epoch, row = event.ended.epoch, self._rows[event.ended.number]
        self._epoch_seconds.append(epoch.seconds)
        self._epochs_spent += event.ended.judged
        self._seconds_spent += epoch.seconds
        row.seconds += epoch.seconds
        row.where = f"fold {epoch.position + 1}/{self._steps.n_folds} epoch {epoch.epoch + 1}/{epoch.epochs}"
        if event.ended.judged:
            row.step, row.value = epoch.step + 1, epoch.value
        else:
            row.beside, row.where = row.beside + 1, f"by {self._other_level} {row.where}"
        if not self._console.is_terminal and time.monotonic() - self._last_plain > 10:
            self._last_plain = time.monotonic()
            self._console.print(
                f"trial {row.number}: {row.where}, {self._task.symbol} {epoch.value:.4f}, {self._eta()}"
            )

    def _finished(self, event: Finished) -> None:
        ended, row = event.ended, self._rows.setdefault(event.ended.number, _Row(event.ended.number, False, 0.0))
        row.outcome, row.reason, row.seconds = ended.outcome, ended.reason, ended.seconds
        row.value = ended.value if ended.value is not None else row.value
        if not self._console.is_terminal:
            value = f" {self._task.symbol} {ended.value:.4f}" if ended.value is not None else ""
            value = f" after {row.where}, {self._task.symbol} {row.value:.4f}" if ended.outcome == "paused" else value
            says_why = ended.reason and (ended.outcome != "pruned" or row.step == 0)  # untrained: what it exceeds
            reason = f" ({ended.reason})" if says_why else ""
            baseline = " (baseline)" if row.baseline else ""
            line = f"trial {row.number}{baseline}: {ended.outcome}{value}{reason} in {duration(ended.seconds)}"
            self._console.print(f"{line}, {self._eta()}", markup=False)

    def _refresh(self) -> None:
        if not self._console.is_terminal or not self._rows:
            return
        if self._live is None:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start()
        self._live.update(self._table())

    def _table(self) -> Group:
        table = Table(title=f"study {self._config.name}", title_justify="left")
        for name in ("trial", "", "fold and epoch", self._heading(), "time", "outcome"):
            table.add_column(name, justify="right" if name in {"trial", "time"} else "left")
        values = [row.value for row in self._rows.values() if row.outcome == "complete" and row.value is not None]
        best = min(values, key=self._task.as_loss, default=None)
        for row in list(self._rows.values())[-_ROWS:]:
            seconds = row.seconds if row.outcome != "running" else time.monotonic() - row.started
            is_best = row.outcome == "complete" and row.value == best
            value = Text("" if row.value is None else f"{row.value:.4f}", style="bold green" if is_best else "")
            label = "baseline" if row.baseline else ("best" if is_best else "")
            outcome = outcome_text(row.outcome, row.reason)
            table.add_row(str(row.number), label, row.where, value, duration(seconds), outcome)
        done = sum(row.outcome not in {"running", "interrupted", "paused"} for row in self._rows.values())
        best_text = f"best {best:.4f}" if best is not None else "no completed trial yet"
        return Group(table, Text(f"{done} trials this session, {self._to_come} to start, {best_text}, {self._eta()}"))

    @property
    def _other_level(self) -> str:
        own = level_of(self._config.folds)
        return next((level for level in self._task.levels if level != own), own)

    def _heading(self) -> str:
        task = self._task
        return f"{task.symbol} ({self._config.objective} votes)" if len(task.strata) > 1 else task.measure

    def _eta(self) -> str:
        return f"ETA {duration(self._seconds_left())}" if self._epoch_seconds else "ETA unknown yet"

    def _seconds_left(self) -> float:
        """Return the time left, as if the trials to come went as far as those before; paused ones may go on.

        Rounds to come count whole. None trains more than ``max_epochs`` or ``max_hours``, but trials that run are let
        to their end. Where the session's time is up, nothing is left.
        """
        recent = self._epoch_seconds[-20:]
        each = sum(recent) / len(recent)
        ended = [row.epochs for row in self._rows.values() if row.outcome != "running"]
        levels = 2 if self._task.levels else 1  # each trial also runs the folds of the other level
        typical = sum(ended) / len(ended) if len(ended) >= _TYPICAL_OF else len(self._steps) * levels
        max_epochs = math.inf if self._config.max_epochs is None else self._config.max_epochs
        max_s = math.inf if self._config.max_hours is None else 3600 * self._config.max_hours
        most = min(max_epochs * levels, max_s / each)
        unspent = min((max_epochs - self._epochs_spent) * levels, (max_s - self._seconds_spent) / each)
        running = [max(1.0, typical - row.epochs) for row in self._rows.values() if row.outcome == "running"]
        to_start = typical * self._to_come
        left = sum(running) + min(to_start, max(0.0, unspent - sum(running)))
        left += self._rounds_to_come * min(typical * self._of_a_round, most)
        return min(left / self._config.workers * each, max(0.0, self._ends - time.monotonic()))


def _say_next(report: StudyReport, console: Console, again: str) -> None:
    if report.outcomes.get("queued"):
        console.print(f"to go on: {again}", markup=False)
    console.print("to look at it: hms-search up", markup=False)
