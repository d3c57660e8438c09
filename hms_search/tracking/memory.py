"""Trackers without a store: one remembers what it was told, one forgets it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from hms_search.tracking.contract import Kind, Outcome, Waiting


@dataclass
class MemoryRun:
    """A run and all it was told; ``outcome`` is empty while it is open, "paused" while it waits."""

    id: str
    name: str
    parent_id: str
    params: dict[str, object]
    tags: dict[str, str]
    texts: dict[str, str]
    outcome: str = ""
    reason: str = ""
    leg: int = 0
    epochs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def when_named(self, tell: Callable[[str], None]) -> None:
        """Tell the id."""
        tell(self.id)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Keep the metrics of one epoch."""
        self.epochs.append((step, dict(metrics)))

    def pause(self, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Keep that the trial waits."""
        self.outcome = "paused"
        self.files.update(files)

    def finish(
        self, outcome: Outcome, *, reason: str = "", metrics: Mapping[str, float], files: Mapping[str, bytes]
    ) -> None:
        """Keep how the run ended."""
        self.outcome, self.reason, self.metrics = outcome, reason, dict(metrics)
        self.files.update(files)


class MemoryTracker:
    """A tracker that keeps its runs in ``runs``, by id, and the study's last table in ``table``."""

    def __init__(self) -> None:
        self.runs: dict[str, MemoryRun] = {}
        self.table: list[dict[str, object]] = []

    def start_study(self, *, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:
        """Return the id of the study's run, the same one each time."""
        run = self.runs.setdefault("study", MemoryRun("study", "study", "", {}, {}, {}))
        run.outcome = ""
        run.tags.update(tags)
        run.texts.update(texts)
        return run.id

    def study_run(self) -> str:
        """Return the id of the study's run."""
        return "study"

    def start_run(
        self,
        name: str,
        *,
        parent_id: str | None,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        texts: Mapping[str, str],
        kind: Kind = "trial",
    ) -> MemoryRun:
        """Return a new run."""
        tagged = {**tags, "kind": kind}
        run = MemoryRun(f"run-{len(self.runs)}", name, parent_id or "", dict(params), tagged, dict(texts))
        self.runs[run.id] = run
        return run

    def resume_run(self, run_id: str, *, leg: int) -> MemoryRun:
        """Return a run that waited."""
        run = self.runs[run_id]
        run.outcome, run.leg = "", leg
        return run

    def open_run(self, run_id: str) -> MemoryRun | None:
        """Return a run that is open."""
        run = self.runs[run_id]
        return None if run.outcome else run

    def add(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Keep more of a run."""
        self.runs[run_id].metrics.update(metrics)
        self.runs[run_id].files.update(files)

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """Keep that the run's process died."""
        run = self.runs[run_id]
        run.outcome, run.reason, run.leg = "failed" if failed else "interrupted", reason, leg

    def end_orphans(
        self, tags: Mapping[str, Collection[str]], reason: str = "", *, outcome: Outcome = "interrupted"
    ) -> None:
        """Keep that the processes of the open runs with these tags died."""
        for run in self.runs.values():
            if not run.outcome and all(run.tags.get(name) in values for name, values in tags.items()):
                run.outcome, run.reason = outcome, reason

    def send_waiting(self, *, insist: bool = False) -> Waiting:  # noqa: ARG002
        """Nothing waits."""
        return Waiting()

    def finish_study(
        self, parent_id: str, *, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> None:
        """Keep the study's summary."""
        self.runs[parent_id].outcome, self.runs[parent_id].metrics = "complete", dict(metrics)
        self.table = [dict(row) for row in table]


class NullRun:
    """A run that forgets."""

    id = ""

    def when_named(self, tell: Callable[[str], None]) -> None:
        """Tell the empty id."""
        tell(self.id)

    def log(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Forget."""

    def pause(self, files: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """Forget."""

    def finish(
        self, outcome: Outcome, *, reason: str = "", metrics: Mapping[str, float], files: Mapping[str, bytes]
    ) -> None:
        """Forget."""


class NullTracker:
    """A tracker that keeps nothing: ``--tracking-uri none``."""

    def start_study(self, *, tags: Mapping[str, str], texts: Mapping[str, str]) -> str:  # noqa: ARG002
        """Return an empty id."""
        return ""

    def study_run(self) -> str:
        """Return an empty id."""
        return ""

    def start_run(
        self,
        name: str,  # noqa: ARG002
        *,
        parent_id: str | None,  # noqa: ARG002
        params: Mapping[str, object],  # noqa: ARG002
        tags: Mapping[str, str],  # noqa: ARG002
        texts: Mapping[str, str],  # noqa: ARG002
        kind: Kind = "trial",  # noqa: ARG002
    ) -> NullRun:
        """Return a run that forgets."""
        return NullRun()

    def resume_run(self, run_id: str, *, leg: int) -> NullRun:  # noqa: ARG002
        """Return a run that forgets."""
        return NullRun()

    def open_run(self, run_id: str) -> None:
        """Return nothing: no run is known."""

    def add(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Forget."""

    def end_orphan(self, run_id: str, reason: str, *, failed: bool, leg: int) -> None:
        """Forget."""

    def end_orphans(
        self, tags: Mapping[str, Collection[str]], reason: str = "", *, outcome: Outcome = "interrupted"
    ) -> None:
        """Forget."""

    def send_waiting(self, *, insist: bool = False) -> Waiting:  # noqa: ARG002
        """Nothing waits."""
        return Waiting()

    def finish_study(
        self, parent_id: str, *, metrics: Mapping[str, float], table: Sequence[Mapping[str, object]]
    ) -> None:
        """Forget."""
