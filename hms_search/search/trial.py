"""What a worker does with one trial: run its folds, log them, and say how it ended."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from hms_search.component import fingerprint_of
from hms_search.curves import learning_curve
from hms_search.data.disk import telling_of_disk
from hms_search.data.fold_words import Level
from hms_search.data.folds import FoldPlan
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.document import dump_yaml
from hms_search.errors import (
    CheckpointError,
    DataError,
    DiskError,
    Stopping,
    TrackingError,
    TrainingError,
    TrialStopped,
)
from hms_search.experiment import ExperimentConfig, ExperimentResult, has_experiment, run_experiment
from hms_search.search.aims import Wanted
from hms_search.search.footprint import footprint
from hms_search.search.trial_record import epoch_metrics, machine, predictions
from hms_search.tracking import Run, Tracker
from hms_search.training.metrics import Stratum
from hms_search.training.results import Epoch
from hms_search.training.tasks import TASKS, Task

Verdict = Literal["continue", "pause", "prune", "interrupt"]
Ending = Literal["complete", "paused", "pruned", "failed", "interrupted"]
"""How a worker is done with a trial: for good, or until the trial goes on."""


@dataclass(frozen=True)
class Before:
    """What of a paused trial was done: its run, and how many steps (epochs of its folds) in how many seconds.

    ``leg`` is how often it has been gone on with, this time too.
    """

    run_id: str
    steps: int
    seconds: float
    leg: int


@dataclass(frozen=True)
class Job:
    """One trial to run: its number, its whole configuration, and the searched parameters by name.

    ``origin`` is the first trial that ran this very experiment: one that is run again after an interruption goes on
    where that left its folder. ``before`` is given where the trial itself was paused. The ``baseline`` is trained
    whatever it costs.
    """

    number: int
    config: ExperimentConfig
    params: Mapping[str, object]
    seed: int
    tags: Mapping[str, str]
    origin: int
    before: Before | None = None
    baseline: bool = False

    @property
    def leg(self) -> int:
        """How often the trial has been gone on with."""
        return 0 if self.before is None else self.before.leg

    @property
    def seconds(self) -> float:
        """Those that the trial was trained before."""
        return 0.0 if self.before is None else self.before.seconds

    @property
    def run_id(self) -> str:
        """The run that it goes on with; empty where it begins."""
        return "" if self.before is None else self.before.run_id


@dataclass(frozen=True)
class TrialStarted:
    """The trial has a run; it is said again where the store gives that another id."""

    number: int
    run_id: str


@dataclass(frozen=True)
class EpochEnded:
    """One validated epoch; the worker waits for a verdict.

    ``judged`` is false on the folds of the other level, on which no trial is pruned.
    """

    number: int
    epoch: Epoch
    judged: bool = True


@dataclass(frozen=True)
class TrialEnded:
    """How a trial ended or was paused: its values where it has some, and why it has none.

    ``values`` are what it reached of each aim. ``seconds`` are those of all its parts. ``unneeded`` is the folder with
    what it would have gone on with, to be removed once its end is kept. ``stops`` says that no trial can be run: there
    is no room on the disk.
    """

    number: int
    outcome: Ending
    run_id: str
    seconds: float
    values: tuple[float, ...] = ()
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    fold_values: tuple[float, ...] = ()
    curve: bytes = b""
    unneeded: Path | None = None
    stops: bool = False

    @property
    def value(self) -> float | None:
        """The mean over folds of what the study's value is; None where the trial has none."""
        return self.values[0] if self.values else None


@dataclass(frozen=True)
class TrialContext:
    """What all trials of a worker share.

    ``other`` are the folds of the other level than ``level``, if they are run. Under ``work`` each trial has a folder
    with what it goes on with after a pause or an interruption.
    """

    store: Store | SeizureTypes
    plan: FoldPlan
    level: Level
    other: FoldPlan | None
    tracker: Tracker
    parent_id: str
    study: str
    objective: Stratum
    device: str
    work: Path
    wanted: Wanted

    def folder(self, job: Job) -> Path:
        """Return the folder of a trial's unfinished folds."""
        data, objective = self.store.fingerprint, self.objective
        return own_folder(
            self.work, job.origin, experiment_name(job.config, seed=job.seed, data=data, objective=objective)
        )

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[self.store.task]


def run_trial(
    job: Job,
    context: TrialContext,
    *,
    on_start: Callable[[TrialStarted], None],
    on_epoch: Callable[[EpochEnded], Verdict],
) -> TrialEnded:
    """Run the trial's folds, each epoch logged and put to the judge, and return how it ended or that it was paused.

    ``on_start`` is called when the trial has a run, and again, from another thread, where the store names that anew.
    The epochs that a paused trial had done are neither logged nor judged again. A diverged or too large trial ends as
    ``failed`` with its reason, one that has no room on the disk as ``interrupted``; any other exception is a bug and
    crosses.
    """
    started = time.perf_counter()
    run: Run | None = None
    try:
        with telling_of_disk(context.work, TrackingError):
            run = _open_run(job, context)
            run.when_named(lambda run_id: on_start(TrialStarted(job.number, run_id)))
            return _run_to_its_end(job, context, run, on_epoch, started)
    except DiskError as error:
        if run is not None:
            with suppress(DiskError, TrackingError, OSError):  # it may not have room for that either
                run.finish("interrupted", reason=str(error), metrics={}, files={})
        seconds, run_id = time.perf_counter() - started, "" if run is None else run.id
        return TrialEnded(job.number, "interrupted", run_id, seconds, reason=str(error), stops=True)


def experiment_name(config: ExperimentConfig, *, seed: int, data: str, objective: Stratum) -> str:
    """Return 12 hex digits of what a trial trains, on data of that fingerprint."""
    return fingerprint_of([config.to_dict(), seed, data, objective])


def own_folder(work: Path, origin: int, experiment: str) -> Path:
    """Return the folder of the unfinished folds of a trial and of those that run its experiment again.

    It names the experiment: a study of the same name in another storage has trials of the same numbers.
    """
    return work / f"trial{origin}-{experiment}"


def _run_to_its_end(
    job: Job, context: TrialContext, run: Run, on_epoch: Callable[[EpochEnded], Verdict], started: float
) -> TrialEnded:
    done = 0 if job.before is None else job.before.steps
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        if epoch.step >= done:
            run.log(epoch_metrics(epoch, context.task), step=epoch.epoch)
            _obey(on_epoch(EpochEnded(job.number, epoch)))

    def on_other(epoch: Epoch) -> None:
        _obey(on_epoch(EpochEnded(job.number, epoch, judged=False)))

    costs, refusal = _costs(job, context)
    end = _run(job, context, report, on_other) if refusal is None else refusal
    outcome, reason, result = end.outcome, end.reason, end.result
    seconds = time.perf_counter() - started + job.seconds
    curve = learning_curve(epochs, title=f"{context.study} trial {job.number}", task=context.task) if epochs else b""
    files = {"learning_curve.png": curve} if curve else {}
    if outcome == "paused":
        run.pause(files)
        return TrialEnded(job.number, outcome, run.id, seconds, curve=curve)
    metrics = {**costs, **(result.metrics if result is not None else {})}
    values = context.wanted.values(result.value, metrics) if result is not None else ()
    if result is not None:
        files |= predictions(f"trial {job.number}", context.store, context.plan, result)
    aims = {f"aim/{name}": value for name, value in zip(context.wanted.names, values, strict=False)}
    run.finish(outcome, reason=reason, metrics={**metrics, **aims}, files=files)
    return TrialEnded(
        number=job.number,
        outcome=outcome,
        run_id=run.id,
        seconds=seconds,
        values=values,
        reason=reason,
        metrics=metrics,
        fold_values=tuple(fold.value for fold in result.folds) if result is not None else (),
        curve=curve,
        unneeded=None if end.keeps else context.folder(job).absolute(),
    )


def _open_run(job: Job, context: TrialContext) -> Run:
    if job.before is not None:
        return context.tracker.resume_run(job.before.run_id, leg=job.leg)
    return context.tracker.start_run(
        f"trial {job.number}",
        parent_id=context.parent_id,
        params=job.params,
        tags={**job.tags, **machine(context.device), "optimistic": str(job.config.training.optimistic).lower()},
        texts={"config.yaml": dump_yaml(job.config.to_dict())},
    )


@dataclass(frozen=True)
class _End:
    """How the training of a trial ended; ``keeps`` where its checkpoints are gone on with, or are to be looked at."""

    outcome: Ending
    reason: str = ""
    result: ExperimentResult | None = None
    keeps: bool = False


_ENDINGS: Mapping[Verdict, Stopping] = {"pause": "paused", "prune": "pruned", "interrupt": "interrupted"}
_WHY: Mapping[Stopping, str] = {"paused": "", "pruned": "the search stopped it", "interrupted": "stopped"}


def _obey(verdict: Verdict) -> None:
    if verdict != "continue":
        raise TrialStopped(_ENDINGS[verdict])


def _costs(job: Job, context: TrialContext) -> tuple[dict[str, float], _End | None]:
    """Return what the trial's network costs, and how the trial ends untrained where that is too much."""
    try:
        costs = footprint(job.config, context.store, context.wanted.costs, device=context.device)
    except TrainingError as error:
        return {}, _End("failed", str(error))
    broken = context.wanted.broken(costs)
    if not broken or job.baseline or job.before is not None:
        return costs, None
    return costs, _End("pruned", f"not trained: {broken}")


def _run(job: Job, context: TrialContext, report: Callable[[Epoch], None], on_other: Callable[[Epoch], None]) -> _End:
    try:
        result = _experiment(job, context, context.plan, report)
        if context.other is not None:
            result = _beside(result, _experiment(job, context, context.other, on_other), context)
    except TrialStopped as stop:
        return _End(stop.reason, _WHY[stop.reason], keeps=stop.reason != "pruned")
    except (TrainingError, CheckpointError, DataError) as error:
        return _End("failed", str(error), keeps=isinstance(error, CheckpointError))
    if not np.isfinite(result.value):
        return _End("failed", f"the value is {result.value}, expected a finite {context.task.measure}")
    missing = [name for name in context.wanted.names[1:] if name.startswith("kl_") and name not in result.metrics]
    if missing:
        return _End("failed", f"aim {missing[0]} has no value: no recording of that stratum was validated")
    return _End("complete", result=result)


def _experiment(job: Job, context: TrialContext, plan: FoldPlan, on_epoch: Callable[[Epoch], None]) -> ExperimentResult:
    return run_experiment(
        job.config,
        context.store,
        plan,
        seed=job.seed,
        device=context.device,
        objective=context.objective,
        on_epoch=on_epoch,
        out_dir=lambda identity: _taken_up(job, context, plan, identity),
    )


def _taken_up(job: Job, context: TrialContext, plan: FoldPlan, identity: str) -> Path:
    """Return the folder of a trial's folds, with what an earlier version of hms-search left of this very experiment."""
    folder = context.folder(job) / f"folds-{identity}"
    former = context.work / f"trial{job.origin}" / f"folds-{plan.fingerprint}"
    if not folder.exists() and has_experiment(former, identity):
        folder.parent.mkdir(parents=True, exist_ok=True)
        former.rename(folder)
        with suppress(OSError):  # it has folds of the other level
            former.parent.rmdir()
    return folder


def _beside(result: ExperimentResult, other: ExperimentResult, context: TrialContext) -> ExperimentResult:
    """Return the result with the values on both levels of folds among its metrics."""
    values = {level: result.value if level == context.level else other.value for level in context.task.levels}
    named = {name: values[level] for level, name in context.task.levels.items()}
    return replace(result, metrics={**result.metrics, **named})
