"""run_experiment: one configuration, trained and scored on some folds of one Store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hms_search.component import fingerprint_of
from hms_search.data.samples import Samples
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.errors import DataError
from hms_search.experiment.config import ExperimentConfig
from hms_search.experiment.fold import FoldTraining, Plan, checkpoints_in, weights_in
from hms_search.models.device import device_of
from hms_search.training.checkpoint import Checkpoint
from hms_search.training.metrics import Stratum, in_stratum
from hms_search.training.results import Epoch, FoldResult, Slot, ignore
from hms_search.training.steps import Steps
from hms_search.training.tasks import TASKS
from hms_search.training.turns import in_turns


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found.

    Attributes
    ----------
    value
        Mean over folds of what the task measures: the KL on the objective's stratum.
    folds
        One result per fold, in the order they ran.
    metrics
        The task's pooled scores (:mod:`hms_search.training.tasks`) of the out-of-fold rows of all folds together.
    rows, probabilities
        Out-of-fold rows of the Store and their class probabilities.
    pipelines
        The fitted input pipeline of each fold.
    """

    value: float
    folds: tuple[FoldResult, ...]
    metrics: dict[str, float]
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows classes"]
    pipelines: tuple[FittedPipeline, ...]
    objective: Stratum
    seed: int

    @property
    def optimistic(self) -> bool:
        """Whether epochs were chosen on the rows that they are scored on, or soft targets may know their labels."""
        return any(fold.optimistic for fold in self.folds)


def run_experiment(
    config: ExperimentConfig,
    store: Samples,
    plan: Plan,
    *,
    seed: int = 0,
    device: str = "auto",
    objective: Stratum = "all",
    on_epoch: Callable[[Epoch], None] = ignore,
    out_dir: Path | Callable[[str], Path] | None = None,
) -> ExperimentResult:
    """Return the result of training and scoring ``config`` on each fold that ``plan`` uses, in its order.

    Folds that take turns are in memory together, networks and optimisers; each has its own random numbers, so that the
    result is the same to the last bit on one CPU.

    Nothing of a fold's validation rows enters its training: datawide statistics come from its training rows, and
    predicted targets from networks that did not see its patients (:mod:`hms_search.data.teachers`), unless the
    configuration says ``optimistic``.
    ``on_epoch`` sees every validated epoch and may raise :class:`hms_search.errors.TrialStopped`.

    With ``out_dir``, the networks are kept there (:func:`weights_file`), and a call that was interrupted, however
    rudely, goes on after the last finished epoch when it is made again, to the same result; ``on_epoch`` sees the
    epochs of before, too. It may be asked for by the experiment's identity: 12 hex digits of all that its result hangs
    on.

    Raises DataError, before anything is trained, where a fold has no validation row in the objective's stratum, a stage
    no training row, or a predicted target is missing or would leak; TrainingError where training
    diverges or memory runs out, CheckpointError where ``out_dir`` holds another experiment.
    """
    task = TASKS[store.task]
    _check_strata(store, plan, objective)
    target_device = device_of(device)
    slots = [Slot(fold=fold, seed=_fold_seed(seed, fold), objective=objective, task=task) for fold in plan.use]
    folds = [FoldTraining.of(config, store, plan, slot=slot, device=target_device) for slot in slots]
    predicted = [digest for fold in folds if (digest := fold.curriculum.predictions.digest)]
    identity = fingerprint_of([config.to_dict(), store.fingerprint, plan.fingerprint, seed, objective, *predicted])
    work = out_dir(identity) if callable(out_dir) else out_dir
    folders = [None if work is None else _fold_folder(work, slot.fold) for slot in slots]
    trainings = [fold.run(folder, identity) for fold, folder in zip(folds, folders, strict=True)]
    trained = in_turns(trainings, Steps(len(folds), config.training.epochs, plan.order), on_epoch)
    results = tuple(one.result for one in trained)
    rows = np.concatenate([one.rows for one in results])
    probabilities = np.concatenate([one.probabilities for one in results])
    return ExperimentResult(
        value=float(np.mean([one.value for one in results])),
        folds=results,
        metrics=task.pooled_scores(
            store.targets[rows],
            probabilities,
            store.high[rows],
            store.patients[rows],
            objective=objective,
            seed=seed,
        ),
        rows=rows,
        probabilities=probabilities,
        pipelines=tuple(one.pipeline for one in trained),
        objective=objective,
        seed=seed,
    )


def has_experiment(out_dir: Path, identity: str) -> bool:
    """Say whether all that ``out_dir`` holds, and that is something, is of the experiment of an identity."""
    kept = [file for fold in out_dir.glob("fold*") for file in checkpoints_in(fold) if file.is_file()]
    return bool(kept) and all(Checkpoint(file, identity).is_own() for file in kept)


def weights_file(out_dir: Path, fold: int) -> Path:
    """Return the .safetensors file with a finished fold's network, under an experiment's ``out_dir``."""
    return weights_in(_fold_folder(out_dir, fold))


def _fold_folder(out_dir: Path, fold: int) -> Path:
    return out_dir / f"fold{fold}"


def _check_strata(store: Samples, plan: Plan, objective: Stratum) -> None:
    empty = [fold for fold in plan.use if not in_stratum(store.high[plan.split(fold)[1]], objective).any()]
    if empty:
        raise DataError(
            f"the objective is the KL on the {objective} stratum, but it has no validation row in fold "
            f"{', '.join(map(str, empty))}; use objective: all, fewer folds or more data"
        )


def _fold_seed(seed: int, fold: int) -> int:
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
