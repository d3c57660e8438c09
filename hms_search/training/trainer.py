"""fit, training: train a network on one fold and score it on the fold's validation rows after every epoch."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from hms_search.data.batches import Batches
from hms_search.eeg.shapes import ImageShape
from hms_search.errors import TrainingError, TrialStopped
from hms_search.training.checkpoint import Checkpoint
from hms_search.training.config import TrainingConfig
from hms_search.training.learner import Learner
from hms_search.training.metrics import kl_terms
from hms_search.training.own_random import OwnRandom
from hms_search.training.passes import predict, train_epoch
from hms_search.training.progress import FoldProgress, Selected
from hms_search.training.results import Epoch, FoldResult, Slot, ignore
from hms_search.training.stages import begins_afresh
from hms_search.training.steps import Steps
from hms_search.training.turns import Training, in_turns

KEEPING_SHARE = 0.1
"""Most of the time that writing checkpoints may take: of a small network on a GPU an epoch is as fast as its
checkpoint, about three times the weights."""


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    on_epoch: Callable[[Epoch], None] = ignore,
    checkpoint: Checkpoint | None = None,
) -> FoldResult:
    """Return the result of :func:`training`, ``on_epoch`` called after each epoch.

    It may raise :class:`hms_search.errors.TrialStopped`.
    """
    alone = training(model, train, validation, config, slot=slot, checkpoint=checkpoint)
    return in_turns([alone], Steps(n_folds=1, epochs=config.epochs), on_epoch)[0]


def training(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    checkpoint: Checkpoint | None = None,
) -> Training[FoldResult]:
    """Train ``model`` on ``train``, yielding after each validated epoch; it is left with the selected epoch's weights.

    Both ``Batches`` are closed on the way out. On one CPU, the same seed gives the same value to the last bit, whatever
    is done between two epochs.

    With a ``checkpoint``, training goes on after the last epoch it holds, to the same result; the epochs that were done
    before are yielded, too. It is written after an epoch, unless epochs are so short that writing would take more than
    :data:`KEEPING_SHARE` of the time, and where the search stops the trial other than by pruning it.

    Raises TrainingError, with the reason, where training diverges or memory runs out.
    """
    device = train.device
    try:
        with OwnRandom(slot.seed, device) as random:
            result = yield from _training(
                model, train, validation, config, slot=slot, checkpoint=checkpoint, random=random
            )
            return result
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = _out_of_memory(train, config)
    finally:
        train.close()
        validation.close()
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            gc.collect()  # a quarter of a second, so only where a leftover cycle would hold scarce memory
            torch.cuda.empty_cache()
    raise TrainingError(reason)  # not from the error, whose frames would keep the memory


def _training(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    checkpoint: Checkpoint | None,
    random: OwnRandom,
) -> Training[FoldResult]:
    learner = Learner.of(model, config, train.device)
    state = checkpoint.load() if checkpoint is not None else None
    progress = FoldProgress() if state is None else FoldProgress.restored(state, learner, train, slot.task)
    keeper = None if checkpoint is None else _Keeper(checkpoint, learner, train, progress)
    for epoch in tuple(progress.epochs):
        with random.away():
            yield epoch
    for number in range(len(progress.epochs), config.epochs):
        epoch = _epoch(learner, train, validation, config, slot=slot, progress=progress, number=number)
        if keeper is not None and keeper.is_due():
            keeper.keep()
        try:
            with random.away():
                yield epoch
        except TrialStopped as stop:
            if keeper is not None and stop.reason != "pruned":
                keeper.keep()
            raise
    selected = progress.selected
    if selected is None:
        raise ValueError(f"expected at least one epoch, found {config.epochs}")
    model.load_state_dict(selected.weights or learner.average.network.state_dict())
    return FoldResult(
        fold=slot.fold,
        value=selected.epoch.value,
        epochs=tuple(progress.epochs),
        selected_epoch=selected.epoch.epoch,
        optimistic=config.optimistic,
        rows=selected.rows,
        probabilities=selected.probabilities,
        metrics=selected.epoch.metrics,
    )


@dataclass
class _Keeper:
    """Writes a fold's checkpoints, not more often than worthwhile."""

    checkpoint: Checkpoint
    learner: Learner
    train: Batches
    progress: FoldProgress
    _kept_epochs: int = -1
    _kept_at: float = 0.0
    _cost_s: float = 0.0

    def is_due(self) -> bool:
        return (perf_counter() - self._kept_at) * KEEPING_SHARE >= self._cost_s

    def keep(self) -> None:
        """Write the checkpoint, unless these epochs are in it already."""
        if self._kept_epochs == len(self.progress.epochs):
            return
        started = perf_counter()
        self.checkpoint.save(self.progress.state(self.learner, self.train))
        self._kept_epochs, self._kept_at = len(self.progress.epochs), perf_counter()
        self._cost_s = self._kept_at - started


def _epoch(
    learner: Learner,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    progress: FoldProgress,
    number: int,
) -> Epoch:
    """Train and validate one epoch, and take it into the progress."""
    started = perf_counter()
    store = validation.store
    if begins_afresh(config.spans, number):
        learner.optimiser.state.clear()
    train_loss, lr = train_epoch(learner, train, number)
    learner.average.epoch_ended(number, train, learner.precision)
    rows, probabilities = predict(learner.average.network, validation, learner.precision)
    metrics = slot.task.scores(store.targets[rows], probabilities, store.high[rows])
    epoch = Epoch(
        fold=slot.fold,
        epoch=number,
        epochs=config.epochs,
        value=slot.task.value(metrics, slot.objective),
        train_loss=train_loss,
        metrics=metrics,
        seconds=perf_counter() - started,
        lr=lr,
        losses=kl_terms(store.targets[rows], probabilities).sum(axis=1).astype(np.float32),
        step=number,
    )
    progress.epochs.append(epoch)
    loss = slot.task.as_loss(epoch.value)
    learner.schedule.epoch_ended(number, train=train_loss, validation=loss)
    if config.select == "last" or progress.selected is None or loss < slot.task.as_loss(progress.selected.epoch.value):
        weights = _copy_of_weights(learner.average.network) if config.select == "best" else None
        progress.selected = Selected(epoch, rows, probabilities, weights)
    return epoch


def _copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.state_dict().items()}


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED"))


def _out_of_memory(train: Batches, config: TrainingConfig) -> str:
    recordings = train.store.recording(int(train.draw.rows[0]))
    sizes = {str(kind): " x ".join(map(str, x.shape)) for kind, x in recordings.items()}
    shape = train.pipeline.config.shape
    if isinstance(shape, ImageShape):
        sizes = {"images": " x ".join(map(str, shape.size))} if shape.size else sizes
    what = " and ".join(f"{name} of {size}" for name, size in sizes.items())
    return (
        f"out of memory on {train.device} with training.batch_size {config.batch_size} and {what}; "
        "lower training.batch_size (training.accumulate then keeps the rows of a step) or pipeline.resize"
    )
