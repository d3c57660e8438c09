"""The centre: one configuration, trained and scored on some folds of one Store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import ValidationInfo
from torch import nn

from hms_search.augment import Augmentation, Mixup
from hms_search.augment.augmenter import Augmenter
from hms_search.component import Component, field_validator, fingerprint_of, model_validator
from hms_search.data.batches import Batches, InOrder
from hms_search.data.fitting import fit_pipeline
from hms_search.data.samples import Samples
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.eeg.pipelines import FittedPipeline, Pipeline
from hms_search.eeg.shapes import Kind
from hms_search.errors import ConfigError, DataError
from hms_search.models import Model, parameter_names, save_weights
from hms_search.models.device import device_of
from hms_search.training.checkpoint import Checkpoint
from hms_search.training.config import TrainingConfig
from hms_search.training.curriculum import Curriculum
from hms_search.training.metrics import Stratum, in_stratum
from hms_search.training.parameter_groups import check_prefixes
from hms_search.training.predictions import predictions_of
from hms_search.training.progress import result_of, result_state
from hms_search.training.results import Epoch, FoldResult, Slot, ignore
from hms_search.training.tasks import TASKS
from hms_search.training.trainer import fit

_RECORDED_AS: Mapping[Kind, str] = {"eeg": "eeg", "spectrogram": "log_power", "fft": "fft"}
"""What augmentations call a kind of recording."""


class ExperimentConfig(Component):
    """All that defines an experiment but its data, folds and seed; what a search space varies.

    ``augmentations`` change training samples at random, one after the other.
    """

    pipeline: Pipeline = SpectrogramPipeline()
    augmentations: tuple[Augmentation, ...] = ()
    model: Model
    training: TrainingConfig = TrainingConfig()

    @field_validator("model")
    @classmethod
    def _takes_its_input(cls, model: Model, info: ValidationInfo) -> Model:
        pipeline: Pipeline | None = info.data.get("pipeline")
        if pipeline is not None:  # else it has faults of its own
            model.check(pipeline.shape)
        return model

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        there = {"image", *(_RECORDED_AS[kind] for kind in self.pipeline.kinds)}
        idle = [one.name for one in self.augmentations if one.p and not there & set(one.acts_on)]
        mixes = any(isinstance(one, Mixup) and one.p for one in self.augmentations)
        if mixes and isinstance(self.pipeline.shape, Mapping):
            raise ValueError("mixup acts on one image, the pipeline keeps two apart; use eeg_mixup or crop_cat")
        if idle:
            raise ValueError(
                f"augmentations {', '.join(idle)} do not act on source {self.pipeline.source}; remove them, or set p: 0"
            )
        if self.training.lr_groups:
            self._check_lr_groups()
        return self

    def _check_lr_groups(self) -> None:
        try:
            check_prefixes(parameter_names(self.model, self.pipeline.shape), self.training.lr_groups)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class Plan(Protocol):
    """What an experiment reads of a :class:`hms_search.data.folds.FoldPlan`."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the folds."""

    @property
    def use(self) -> tuple[int, ...]:
        """The folds to run, in this order."""

    def split(self, fold: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
        """Training and validation rows of a fold."""


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
    out_dir: Path | None = None,
) -> ExperimentResult:
    """Return the result of training and scoring ``config`` on each fold that ``plan`` uses, one after the other.

    Nothing of a fold's validation rows enters its training: datawide statistics come from its training rows, and
    predicted targets from networks that did not see its patients (:mod:`hms_search.data.teachers`), unless the
    configuration says ``optimistic``.
    ``on_epoch`` sees every validated epoch and may raise :class:`hms_search.errors.TrialStopped`.

    With ``out_dir``, the networks are kept there (:func:`weights_file`), and a call that was interrupted, however
    rudely, goes on after the last finished epoch when it is made again, to the same result; ``on_epoch`` sees the
    epochs of before, too.

    Raises DataError, before anything is trained, where a fold has no validation row in the objective's stratum, a stage
    no training row, or a predicted target is missing or would leak; TrainingError where training
    diverges or memory runs out, CheckpointError where ``out_dir`` holds another experiment.
    """
    task = TASKS[store.task]
    _check_strata(store, plan, objective)
    target_device = device_of(device)
    slots = [
        Slot(fold=fold, position=position, seed=_fold_seed(seed, fold), objective=objective, task=task)
        for position, fold in enumerate(plan.use)
    ]
    curricula = [_curriculum(config.training, store, plan, slot) for slot in slots]
    predicted = [curriculum.predictions.digest for curriculum in curricula if curriculum.predictions.digest]
    identity = fingerprint_of([config.to_dict(), store.fingerprint, plan.fingerprint, seed, objective, *predicted])
    folds, pipelines = [], []
    for slot, curriculum in zip(slots, curricula, strict=True):
        pipeline = fit_pipeline(config.pipeline, store, curriculum.rows, device=target_device)
        validation = InOrder(plan.split(slot.fold)[1], store.targets)
        run = _FoldRun(config, store, curriculum, validation, pipeline, slot, target_device)
        kept_in = None if out_dir is None else _fold_folder(out_dir, slot.fold)
        folds.append(run.train(on_epoch)[1] if kept_in is None else run.keep(kept_in, identity, on_epoch))
        pipelines.append(pipeline)
    rows = np.concatenate([fold.rows for fold in folds])
    probabilities = np.concatenate([fold.probabilities for fold in folds])
    return ExperimentResult(
        value=float(np.mean([fold.value for fold in folds])),
        folds=tuple(folds),
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
        pipelines=tuple(pipelines),
        objective=objective,
        seed=seed,
    )


def weights_file(out_dir: Path, fold: int) -> Path:
    """Return the .safetensors file with a finished fold's network, under an experiment's ``out_dir``."""
    return _fold_folder(out_dir, fold) / "network.safetensors"


def _fold_folder(out_dir: Path, fold: int) -> Path:
    return out_dir / f"fold{fold}"


@dataclass(frozen=True)
class _FoldRun:
    """All that the training of one fold needs."""

    config: ExperimentConfig
    store: Samples
    curriculum: Curriculum
    validation: InOrder
    pipeline: FittedPipeline
    slot: Slot
    device: torch.device

    def train(
        self, on_epoch: Callable[[Epoch], None], checkpoint: Checkpoint | None = None
    ) -> tuple[nn.Module, FoldResult]:
        """Return the trained network and its result."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.slot.seed)
            model = self.config.model.build(self.pipeline.config.shape, classes=len(self.slot.task.classes))
        size = self.config.training.batch_size
        augmentations = self.config.augmentations
        augment = Augmenter(augmentations) if augmentations else None
        result = fit(
            model,
            Batches(self.store, self.curriculum, self.pipeline, batch_size=size, device=self.device, augment=augment),
            Batches(self.store, self.validation, self.pipeline, batch_size=size, device=self.device),
            self.config.training,
            slot=self.slot,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
        )
        return model, result

    def keep(self, folder: Path, identity: str, on_epoch: Callable[[Epoch], None]) -> FoldResult:
        """Return the fold's result, read where an earlier call finished the fold; the network is left in the folder."""
        finished = Checkpoint(folder / "result.pt", identity)
        state = finished.load()
        if state is None:
            unfinished = Checkpoint(folder / "progress.pt", identity)
            model, result = self.train(on_epoch, unfinished)
            save_weights(model, folder / "network.safetensors")
            finished.save(result_state(result))
            unfinished.path.unlink()
            return result
        result = result_of(state)
        for epoch in result.epochs:
            on_epoch(replace(epoch, position=self.slot.position))
        return result


def _curriculum(config: TrainingConfig, store: Samples, plan: Plan, slot: Slot) -> Curriculum:
    training, validation = plan.split(slot.fold)
    predictions = predictions_of(config, store, training=training, validation=validation, fold=slot.fold)
    return Curriculum(config, store, training, slot=slot, predictions=predictions)


def _check_strata(store: Samples, plan: Plan, objective: Stratum) -> None:
    empty = [fold for fold in plan.use if not in_stratum(store.high[plan.split(fold)[1]], objective).any()]
    if empty:
        raise DataError(
            f"the objective is the KL on the {objective} stratum, but it has no validation row in fold "
            f"{', '.join(map(str, empty))}; use objective: all, fewer folds or more data"
        )


def _fold_seed(seed: int, fold: int) -> int:
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
