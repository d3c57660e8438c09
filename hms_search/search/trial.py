"""What a worker does with one trial: run its folds, log them, and say how it ended."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from hms_search.curves import learning_curve
from hms_search.data.folds import FoldPlan, Level
from hms_search.data.oof import oof_bytes, out_of_fold
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.document import dump_yaml
from hms_search.errors import CheckpointError, DataError, Stopping, TrainingError, TrialStopped
from hms_search.experiment import ExperimentConfig, ExperimentResult, run_experiment
from hms_search.models.device import device_of
from hms_search.tracking import Run, Tracker
from hms_search.training.results import Epoch
from hms_search.training.tasks import HMS, TASKS, Task

Verdict = Literal["continue", "pause", "prune", "interrupt"]
Ending = Literal["complete", "paused", "pruned", "failed", "interrupted"]
"""How a worker is done with a trial: for good, or until the trial goes on."""
OOF_FILE = "oof.parquet"
"""A completed trial's out-of-fold predictions among the files of its run."""


@dataclass(frozen=True)
class Before:
    """What of a paused trial was done: its run, and how many steps (epochs of its folds) in how many seconds."""

    run_id: str
    steps: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """One trial to run: its number, its whole configuration, and the searched parameters by name.

    ``origin`` is the first trial that ran this very experiment: one that is run again after an interruption goes on
    where that left its folder. ``before`` is given where the trial itself was paused.
    """

    number: int
    config: ExperimentConfig
    params: Mapping[str, object]
    seed: int
    tags: Mapping[str, str]
    origin: int
    before: Before | None = None


@dataclass(frozen=True)
class TrialStarted:
    """The trial's MLflow run exists."""

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
    """How a trial ended or was paused: its value (mean over folds) where it has one, and why it has none.

    ``seconds`` are those of all its parts.
    """

    number: int
    outcome: Ending
    run_id: str
    seconds: float
    value: float | None = None
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    fold_values: tuple[float, ...] = ()
    curve: bytes = b""


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
    objective: Literal["all", "high", "low"]
    device: str
    work: Path

    def folder(self, job: Job) -> Path:
        """Return the folder of a trial's unfinished folds."""
        return trial_folder(self.work, job.origin)

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

    The epochs that a paused trial had done are neither logged nor judged again. A diverged or too large trial ends as
    ``failed`` with its reason; any other exception is a bug and crosses.
    """
    started = time.perf_counter()
    run = _open_run(job, context)
    on_start(TrialStarted(job.number, run.id))
    done = 0 if job.before is None else job.before.steps
    epochs: list[Epoch] = []

    def report(epoch: Epoch) -> None:
        epochs.append(epoch)
        if epoch.step >= done:
            run.log(epoch_metrics(epoch, context.task), step=epoch.epoch)
            _obey(on_epoch(EpochEnded(job.number, epoch)))

    def on_other(epoch: Epoch) -> None:
        _obey(on_epoch(EpochEnded(job.number, epoch, judged=False)))

    outcome, reason, result = _run(job, context, report, on_other)
    seconds = time.perf_counter() - started + (0.0 if job.before is None else job.before.seconds)
    curve = learning_curve(epochs, title=f"{context.study} trial {job.number}", task=context.task) if epochs else b""
    files = {"learning_curve.png": curve} if curve else {}
    if outcome == "paused":
        run.pause(files)
        return TrialEnded(job.number, outcome, run.id, seconds, curve=curve)
    metrics = dict(result.metrics) if result is not None else {}
    if result is not None:
        files |= _predictions(job, context, result)
    run.finish(outcome, reason=reason, metrics=metrics, files=files)
    if outcome != "interrupted":
        shutil.rmtree(context.folder(job), ignore_errors=True)
    return TrialEnded(
        number=job.number,
        outcome=outcome,
        run_id=run.id,
        seconds=seconds,
        value=result.value if result is not None else None,
        reason=reason,
        metrics=metrics,
        fold_values=tuple(fold.value for fold in result.folds) if result is not None else (),
        curve=curve,
    )


def trial_folder(work: Path, origin: int) -> Path:
    """Return the folder of the unfinished folds of a trial and of those that run its experiment again."""
    return work / f"trial{origin}"


def machine(device: str) -> dict[str, str]:
    """Return what a result depends on besides versions: the device and, on a CPU, the number of threads."""
    found = device_of(device)
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else found.type
    return {"device": name, "threads": str(torch.get_num_threads())}


def _open_run(job: Job, context: TrialContext) -> Run:
    if job.before is not None:
        return context.tracker.resume_run(job.before.run_id)
    return context.tracker.start_run(
        f"trial {job.number}",
        parent_id=context.parent_id,
        params=job.params,
        tags={**job.tags, **machine(context.device), "optimistic": str(job.config.training.optimistic).lower()},
        texts={"config.yaml": dump_yaml(job.config.to_dict())},
    )


_ENDINGS: Mapping[Verdict, Stopping] = {"pause": "paused", "prune": "pruned", "interrupt": "interrupted"}
_WHY: Mapping[Stopping, str] = {"paused": "", "pruned": "the search stopped it", "interrupted": "stopped"}


def _obey(verdict: Verdict) -> None:
    if verdict != "continue":
        raise TrialStopped(_ENDINGS[verdict])


def _run(
    job: Job, context: TrialContext, report: Callable[[Epoch], None], on_other: Callable[[Epoch], None]
) -> tuple[Ending, str, ExperimentResult | None]:
    try:
        result = _experiment(job, context, context.plan, report)
        if context.other is not None:
            result = _beside(result, _experiment(job, context, context.other, on_other), context)
    except TrialStopped as stop:
        return stop.reason, _WHY[stop.reason], None
    except (TrainingError, CheckpointError, DataError) as error:
        return "failed", str(error), None
    if not np.isfinite(result.value):
        return "failed", f"the value is {result.value}, expected a finite {context.task.measure}", None
    return "complete", "", result


def _experiment(job: Job, context: TrialContext, plan: FoldPlan, on_epoch: Callable[[Epoch], None]) -> ExperimentResult:
    return run_experiment(
        job.config,
        context.store,
        plan,
        seed=job.seed,
        device=context.device,
        objective=context.objective,
        on_epoch=on_epoch,
        out_dir=context.folder(job) / f"folds-{plan.fingerprint}",
    )


def _beside(result: ExperimentResult, other: ExperimentResult, context: TrialContext) -> ExperimentResult:
    """Return the result with the values on both levels of folds among its metrics."""
    values = {level: result.value if level == context.level else other.value for level in context.task.levels}
    named = {name: values[level] for level, name in context.task.levels.items()}
    return replace(result, metrics={**result.metrics, **named})


def _predictions(job: Job, context: TrialContext, result: ExperimentResult) -> dict[str, bytes]:
    """Return the file of the out-of-fold predictions, for paired comparisons with other trials."""
    store, rows = context.store, result.rows
    samples, folds = store.samples.iloc[rows], context.plan.assignment[rows]
    oof = out_of_fold(f"trial {job.number}", samples, folds, store.targets[rows], result.probabilities, store.task)
    return {OOF_FILE: oof_bytes(oof)}


def epoch_metrics(epoch: Epoch, task: Task = HMS) -> dict[str, float]:
    """Return an epoch's metrics under a few fixed names with the fold as suffix."""
    values = {"train_loss": epoch.train_loss, "lr": epoch.lr, "seconds": epoch.seconds}
    values |= {key: epoch.metrics[key] for key in task.shown if key in epoch.metrics}
    return {f"{name}/fold{epoch.fold}": value for name, value in values.items()}
