"""What a search asks of a tracking store; the trainer knows nothing of it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

Outcome = Literal["complete", "pruned", "failed", "interrupted"]
"""How a trial ended."""

Kind = Literal["trial", "repetition", "promotion", "ensemble"]
"""What a run under a study's is of."""


@dataclass(frozen=True)
class Waiting:
    """Runs that the store does not know all of yet, and why the last attempt to tell it failed.

    ``unknown`` of them began where the store was not told so, and wait for that: for ever, if that machine is lost.
    """

    runs: int = 0
    reason: str = ""
    unknown: int = 0

    @property
    def untold(self) -> int:
        """How many the store could not be told, which need nothing from elsewhere."""
        return self.runs - self.unknown


class Run(Protocol):
    """The run of one trial, open until :meth:`finish`; between :meth:`pause` and ``Tracker.resume_run`` it waits."""

    @property
    def id(self) -> str:
        """The name under which the store knows the run."""

    def when_named(self, tell: Callable[[str], None]) -> None:
        """Call ``tell`` with the run's id, and again, from another thread, where the store gives it another one."""

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Log the metrics of one epoch, all at once."""

    def pause(self, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Say that the trial waits for its turn, with what there is of it so far."""

    def finish(
        self, outcome: Outcome, *, reason: str = "", metrics: Mapping[str, float], files: Mapping[str, bytes]
    ) -> None:
        """End the run with its final metrics and files (name -> content), and with why it did not complete."""


class Tracker(Protocol):
    """The runs of one study: a parent for the study, a child per trial.

    A ``leg`` is how often a trial has been gone on with, this time too: once somebody told more of its run, nothing of
    a lower one changes that.
    """

    def start_study(self, *, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:
        """Return the id of the study's own run, the earlier one where the study is resumed."""

    def study_run(self) -> str:
        """Return the id of the run of a study that was run before."""

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        texts: Mapping[str, str],
        kind: Kind = "trial",
    ) -> Run:
        """Return a new open run under the study's, or under none; ``texts`` are files kept with it, by name."""

    def resume_run(self, run_id: str, *, leg: int) -> Run:
        """Return a run that was paused, open again."""

    def open_run(self, run_id: str) -> Run | None:
        """Return a run that an earlier process left open; None where it has ended."""

    def add(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that has ended."""

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """End a run whose process died: as ``failed``, else as ``interrupted``; ``leg`` is above that process's."""

    def end_orphans(
        self, tags: Mapping[str, Collection[str]], reason: str = "", *, outcome: Outcome = "interrupted"
    ) -> None:
        """End the open runs that have each tag with one of its values, whose process died, with their ``outcome``."""

    def finish_study(
        self, parent_id: str, *, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> None:
        """End this session of the study: its summary, and a table with a row and a ``run_id`` per trial."""

    def send_waiting(self, *, insist: bool = False) -> Waiting:
        """Tell the store what it could not be told before, and return what still waits.

        Shortly after a failure nothing is tried, unless told to ``insist``.
        """
