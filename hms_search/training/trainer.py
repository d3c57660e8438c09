"""fit: train a network on one fold and score it on the fold's validation rows after every epoch."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hms_search.data.batches import Batches
from hms_search.errors import TrainingError
from hms_search.training.config import TrainingConfig
from hms_search.training.metrics import Stratum, scores
from hms_search.training.passes import Learner, predict, train_epoch
from hms_search.training.precision import Precision, memory_format
from hms_search.training.schedulers import Schedule


@dataclass(frozen=True)
class Slot:
    """The place of a fold in its experiment: which fold, as which in line, under which seed, scored on what."""

    fold: int
    position: int = 0
    seed: int = 0
    objective: Stratum = "all"


@dataclass(frozen=True)
class Epoch:
    """One validated epoch, counted from 0.

    ``value`` is the validation KL on the objective's stratum, ``lr`` the rate of the epoch's last batch, ``position``
    the place of the fold among the folds in use.
    """

    fold: int
    position: int
    epoch: int
    epochs: int
    value: float
    train_loss: float
    metrics: dict[str, float]
    seconds: float
    lr: float

    @property
    def step(self) -> int:
        """How many epochs of the experiment came before: folds run one after the other."""
        return self.position * self.epochs + self.epoch


@dataclass(frozen=True)
class FoldResult:
    """A trained fold: value, metrics and class probabilities of its validation rows at the selected epoch.

    ``optimistic`` says that the epoch was chosen on the rows that it is scored on.
    """

    fold: int
    value: float
    epochs: tuple[Epoch, ...]
    selected_epoch: int
    optimistic: bool
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows 6"]
    metrics: dict[str, float]


def ignore(_: Epoch) -> None:
    """Take no notice of an epoch."""


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    on_epoch: Callable[[Epoch], None] = ignore,
) -> FoldResult:
    """Return the result of training ``model`` on ``train``; the model is left with the selected epoch's weights.

    ``on_epoch`` is called after each validated epoch and may raise :class:`hms_search.errors.TrialStopped`. Both
    ``Batches`` are closed on the way out. On one CPU, the same seed gives the same value to the last bit.

    Raises TrainingError, with the reason, where training diverges or memory runs out.
    """
    device = train.device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(slot.seed)
            return _fit(model, train, validation, config, slot=slot, on_epoch=on_epoch)
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


@dataclass(frozen=True)
class _Selected:
    epoch: Epoch
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows 6"]
    weights: dict[str, Tensor] | None


def _fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainingConfig,
    *,
    slot: Slot,
    on_epoch: Callable[[Epoch], None],
) -> FoldResult:
    learner = _learner(model, train, config)
    store = validation.store
    epochs: list[Epoch] = []
    selected: _Selected | None = None
    for number in range(config.epochs):
        started = perf_counter()
        train_loss, lr = train_epoch(learner, train, number)
        rows, probabilities = predict(model, validation, learner.precision)
        metrics = scores(store.targets[rows], probabilities, store.high[rows])
        epoch = Epoch(
            fold=slot.fold,
            position=slot.position,
            epoch=number,
            epochs=config.epochs,
            value=metrics[f"kl_{slot.objective}"],
            train_loss=train_loss,
            metrics=metrics,
            seconds=perf_counter() - started,
            lr=lr,
        )
        epochs.append(epoch)
        learner.schedule.epoch_ended(train=train_loss, validation=epoch.value)
        if config.select == "last" or selected is None or epoch.value < selected.epoch.value:
            weights = _copy_of_weights(model) if config.select == "best" else None
            selected = _Selected(epoch, rows, probabilities, weights)
        on_epoch(epoch)
    if selected is None:
        raise ValueError(f"expected at least one epoch, found {config.epochs}")
    if selected.weights is not None:
        model.load_state_dict(selected.weights)
    return FoldResult(
        fold=slot.fold,
        value=selected.epoch.value,
        epochs=tuple(epochs),
        selected_epoch=selected.epoch.epoch,
        optimistic=config.select == "best",
        rows=selected.rows,
        probabilities=selected.probabilities,
        metrics=selected.epoch.metrics,
    )


def _learner(model: nn.Module, train: Batches, config: TrainingConfig) -> Learner:
    model.to(device=train.device)
    model.to(memory_format=memory_format(config))
    optimiser = config.optimiser.build(model.parameters())
    schedule = Schedule(config.scheduler, optimiser, epochs=config.epochs, batches=len(train))
    return Learner(model, optimiser, schedule, Precision(config.amp, train.device), config.gradient_clip)


def _copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().to("cpu", copy=True) for name, weight in model.state_dict().items()}


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(error) for sign in ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED"))


def _out_of_memory(train: Batches, config: TrainingConfig) -> str:
    resize = train.pipeline.config.resize
    shape = resize or train.store.spectrogram(int(train.rows[0])).shape[::-1]
    return (
        f"out of memory on {train.device} with training.batch_size {config.batch_size} and images of "
        f"{shape[0]} x {shape[1]}; lower training.batch_size or pipeline.resize"
    )
