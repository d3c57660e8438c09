"""FoldTraining: one fold of an experiment, from its rows to its result."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int

from hms_search.augment.augmenter import Augmenter
from hms_search.data.batches import Batches, InOrder
from hms_search.data.fitting import fit_pipeline
from hms_search.data.fold_words import Order
from hms_search.data.samples import Samples
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.experiment.config import ExperimentConfig
from hms_search.models import save_weights
from hms_search.training.checkpoint import Checkpoint
from hms_search.training.curriculum import Curriculum
from hms_search.training.predictions import predictions_of
from hms_search.training.progress import result_of, result_state
from hms_search.training.results import FoldResult, Slot
from hms_search.training.trainer import training
from hms_search.training.turns import Training


class Plan(Protocol):
    """What an experiment reads of a :class:`hms_search.data.folds.FoldPlan`."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the folds."""

    @property
    def use(self) -> tuple[int, ...]:
        """The folds to run."""

    @property
    def order(self) -> Order:
        """Whether they run one after the other or take turns."""

    def split(self, fold: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
        """Training and validation rows of a fold."""


@dataclass(frozen=True)
class TrainedFold:
    """A fold's result, and its fitted input pipeline."""

    result: FoldResult
    pipeline: FittedPipeline


@dataclass(frozen=True)
class FoldTraining:
    """All that the training of one fold needs."""

    config: ExperimentConfig
    store: Samples
    plan: Plan
    slot: Slot
    curriculum: Curriculum
    device: torch.device

    @classmethod
    def of(
        cls, config: ExperimentConfig, store: Samples, plan: Plan, *, slot: Slot, device: torch.device
    ) -> "FoldTraining":
        """Return a fold's training; raises DataError where it has nothing to learn from."""
        rows, validation = plan.split(slot.fold)
        predictions = predictions_of(config.training, store, training=rows, validation=validation, fold=slot.fold)
        curriculum = Curriculum(config.training, store, rows, slot=slot, predictions=predictions)
        return cls(config, store, plan, slot, curriculum, device)

    def run(self, folder: Path | None, identity: str) -> Training[TrainedFold]:
        """Train the fold, yielding after each epoch.

        With a ``folder``, the network is left there; what an earlier run finished is read and yielded, not trained.
        """
        pipeline = fit_pipeline(self.config.pipeline, self.store, self.curriculum.rows, device=self.device)
        if folder is None:
            result = yield from self._train(pipeline)
        else:
            result = yield from self._keep(pipeline, folder, identity)
        return TrainedFold(result, pipeline)

    def _keep(self, pipeline: FittedPipeline, folder: Path, identity: str) -> Training[FoldResult]:
        finished, unfinished = (Checkpoint(file, identity) for file in checkpoints_in(folder))
        state = finished.load()
        if state is not None:
            result = result_of(state)
            yield from result.epochs
            return result
        result = yield from self._train(pipeline, unfinished, folder)
        finished.save(result_state(result))
        unfinished.path.unlink()
        return result

    def _train(
        self, pipeline: FittedPipeline, checkpoint: Checkpoint | None = None, folder: Path | None = None
    ) -> Training[FoldResult]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.slot.seed)
            model = self.config.model.build(pipeline.config.shape, classes=len(self.slot.task.classes))
        size, augmentations = self.config.training.batch_size, self.config.augmentations
        augment = Augmenter(augmentations) if augmentations else None
        validation = InOrder(self.plan.split(self.slot.fold)[1], self.store.targets)
        result = yield from training(
            model,
            Batches(self.store, self.curriculum, pipeline, batch_size=size, device=self.device, augment=augment),
            Batches(self.store, validation, pipeline, batch_size=size, device=self.device),
            self.config.training,
            slot=self.slot,
            checkpoint=checkpoint,
        )
        if folder is not None:
            save_weights(model, weights_in(folder))
        return result


def checkpoints_in(folder: Path) -> tuple[Path, Path]:
    """Return the files in a fold's folder with its result and with what an unfinished one goes on with."""
    return folder / "result.pt", folder / "progress.pt"


def weights_in(folder: Path) -> Path:
    """Return the .safetensors file with a finished fold's network in the fold's folder."""
    return folder / "network.safetensors"
