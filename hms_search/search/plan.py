"""Plan: what a study will take before anything of it runs, and what it changes of the study of its name.

Hours come from a few batches that are timed on this machine, of the base and of the space's extremes, one at a time.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch

from hms_search.data.baked import baked_part
from hms_search.data.progress import Progress
from hms_search.errors import TrainingError
from hms_search.experiment import ExperimentConfig
from hms_search.host_processors import threads_of_each, usable_processors
from hms_search.models.device import device_of
from hms_search.search.halving import PausingHalving
from hms_search.search.history import StudyHistory, study_history
from hms_search.search.places import Places
from hms_search.search.planned_samples import PlannedSamples, planned_samples
from hms_search.search.round_studies import number_of_rounds
from hms_search.search.rounds import round_name
from hms_search.search.space import Categorical, Float, SearchSpace
from hms_search.search.space_difference import Difference, difference
from hms_search.search.step_timing import BatchSeconds, time_batches
from hms_search.search.storage import existing_storage, file_of
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import study_names
from hms_search.search.study_data import ReportProgress

TIMING_BUDGET_S = 120.0
_COSTLY = ("model", "training.batch_size", "training.accumulate", "pipeline", "augmentations")
"""What a batch's time depends on, the greatest first; rates and decays cost nothing."""
_RUN_BYTES = 28_000 + 45_000
"""Of a trial: MLflow's rows (141 MB for 5,000 runs of 101 points each) and its learning curve as a picture."""
_ROW_BYTES = 145
"""Of an out-of-fold prediction in its parquet file."""
_CHECKPOINT_BYTES = 3 * 4
"""Of a number of the network: its weight and Adam's two moments, in float32."""


@dataclass(frozen=True)
class Timed:
    """An experiment of the space, what a batch of it takes, and a whole trial if nothing stops it."""

    label: str
    batch: BatchSeconds
    trial_s: float


@dataclass(frozen=True)
class Plan:
    """What a study will take.

    Attributes
    ----------
    trials, done
        The study's total over all rounds, and how many of them have run.
    epochs
        Of all folds of all trials that are left, those of both levels where the task has two, within the budget of
        epochs.
    timed, untimed
        The base first, then the extremes of the space; and those for which there was no time, or which failed.
    hours
        With every trial like the base, and if all were as the fastest or the slowest that were timed, within the budget
        of hours; pruning is not in it.
    bytes_on_disk
        By what they are of.
    """

    study: str
    trials: int
    done: int
    epochs: int
    samples: int
    counted: str
    device: str
    timed: tuple[Timed, ...]
    untimed: tuple[str, ...]
    hours: tuple[float, float, float]
    bytes_on_disk: Mapping[str, int]
    difference: Difference


def plan_study(
    config: StudyConfig, places: Places, *, progress: ReportProgress, budget_s: float = TIMING_BUDGET_S
) -> Plan:
    """Return the plan of a study; timing goes on to the next extreme of the space while ``budget_s`` is not spent."""
    changes = difference(stored_history(config.name, places), config)
    with planned_samples(config, places, progress=progress) as samples, _threads_of_a_worker(config.workers):
        timed, untimed = _timed(config, samples, progress=progress, budget_s=budget_s)
    done = _done(config, places) if changes.kind == "same" else [_Done()] * number_of_rounds(config)
    per_round = config.rounds.trials if config.rounds is not None else config.trials
    left = [max(0, per_round - one.trials) for one in done]
    steps = config.space.base.training.epochs * len(samples.rows)
    to_come = sum(_steps_left(trials, one, steps, config) for trials, one in zip(left, done, strict=True))
    hours_left = sum(max(0.0, (config.max_hours or math.inf) - one.hours) for one in done)
    seconds = [one.trial_s for one in timed]
    hours = [
        min(to_come / steps * one / 3600, hours_left) / _at_a_time(config)
        for one in (seconds[0], min(seconds), max(seconds))
    ]
    return Plan(
        study=config.name,
        trials=per_round * len(done),
        done=sum(one.trials for one in done),
        epochs=_levels(config) * to_come,
        samples=samples.count,
        counted=samples.counted,
        device=str(device_of(config.device)),
        timed=timed,
        untimed=untimed,
        hours=(hours[0], hours[1], hours[2]),
        bytes_on_disk=_bytes(config, samples, sum(left), timed[0].batch.parameters),
        difference=changes,
    )


def stored_history(name: str, places: Places) -> StudyHistory | None:
    """Return the history of the study of a name, None where there is none yet."""
    file = file_of(places.storage)
    if file is not None and not file.is_file():
        return None
    with existing_storage(places.storage) as storage:
        return study_history(storage, name) if name in study_names(storage) else None


def extremes(space: SearchSpace) -> Iterator[tuple[str, ExperimentConfig]]:
    """Yield the experiments that differ from the base in one choice or bound that a batch's time may depend on."""
    paths = [path for part in _COSTLY for path in space.parameters if path == part or path.startswith(f"{part}.")]
    for path in paths:
        parameter = space.parameters[path]
        if isinstance(parameter, Float):
            continue  # dropout, clip bounds, probabilities
        named = (
            parameter.named if isinstance(parameter, Categorical) else {n: n for n in (parameter.low, parameter.high)}
        )
        for name, value in named.items():
            config = space.config({path: value})
            if config != space.base:
                yield f"{path} = {name}", config


@contextmanager
def _threads_of_a_worker(n_workers: int) -> Iterator[None]:
    """Let PyTorch use as many threads as each of the study's workers will."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads_of_each(n_workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Done:
    """How many trials of a round have ended, and the epochs and hours that it has trained."""

    trials: int = 0
    epochs: int = 0
    hours: float = 0.0


def _done(config: StudyConfig, places: Places) -> list[_Done]:
    """Return what of each round is done."""
    names = [round_name(config.name, number) for number in range(1, number_of_rounds(config) + 1)]
    histories = [stored_history(name, places) for name in names]
    return [_Done(len(history.ended), *history.spent) if history is not None else _Done() for history in histories]


def _levels(config: StudyConfig) -> int:
    """Return on how many levels of folds a trial runs: two where the task has those of files and of patients."""
    return max(1, len(config.learned.levels))


def _steps_left(trials: int, done: _Done, steps: int, config: StudyConfig) -> int:
    """Return the steps of a round's trials that are left, within what is left of its budget of epochs."""
    budget = trials * steps if config.max_epochs is None else max(0, config.max_epochs - done.epochs)
    return min(trials * steps, budget)


def _timed(
    config: StudyConfig, samples: PlannedSamples, *, progress: ReportProgress, budget_s: float
) -> tuple[tuple[Timed, ...], tuple[str, ...]]:
    started = time.monotonic()
    timed: list[Timed] = []
    untimed: list[str] = []
    candidates = [("the base", config.space.base), *extremes(config.space)]
    for number, (label, experiment) in enumerate(candidates):
        progress("timing batches", Progress(number, len(candidates)))
        if timed and time.monotonic() - started > budget_s:
            untimed.append(label)
            continue
        try:
            batch = time_batches(experiment, samples.timed, device=config.device)
        except TrainingError as error:
            if not timed:
                raise
            untimed.append(f"{label} ({error})")
        else:
            timed.append(Timed(label, batch, _trial_seconds(experiment, config, samples, batch)))
    progress("timing batches", Progress(len(candidates), len(candidates)))
    return tuple(timed), tuple(untimed)


def _trial_seconds(
    experiment: ExperimentConfig, config: StudyConfig, samples: PlannedSamples, batch: BatchSeconds
) -> float:
    size = experiment.training.batch_size
    epoch_s = sum(
        training / size * batch.training + validation / size * batch.validation for training, validation in samples.rows
    )
    return _levels(config) * experiment.training.epochs * epoch_s


def _at_a_time(config: StudyConfig) -> int:
    """Return how many trials run side by side at the pace that was timed, with a worker's share of the threads."""
    on_gpu = device_of(config.device).type == "cuda"
    return max(1, min(config.workers, torch.cuda.device_count() if on_gpu else usable_processors()))


def _bytes(config: StudyConfig, samples: PlannedSamples, trials: int, parameters: int) -> dict[str, int]:
    validated = sum(validation for _, validation in samples.rows)
    found = {"trials in MLflow": trials * (_RUN_BYTES + validated * _ROW_BYTES)}
    if samples.store_bytes:
        found = {"prepared recordings": samples.store_bytes, **found}
    part = baked_part(config.space.base.pipeline) if config.data.baked else None
    if part is not None and part.shape.size is not None:
        found["baked images"] = 2 * samples.count * part.shape.channels * prod(part.shape.size)
    waiting = trials if isinstance(config.pruner, PausingHalving) else config.workers
    unfinished = config.steps.n_folds if config.schedule.order == "interleaved" else 1
    found["checkpoints, at most"] = waiting * unfinished * _CHECKPOINT_BYTES * parameters
    return found
