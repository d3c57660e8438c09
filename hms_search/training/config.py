"""TrainingConfig: how a network is trained; see :func:`hms_search.training.trainer.fit`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from hms_search.component import Component
from hms_search.training.optim import AdamW, Optimiser
from hms_search.training.schedulers import Cosine, Scheduler, warmup_epochs


class TrainingConfig(Component):
    """How a network is trained; the defaults are the baseline notebook's.

    Attributes
    ----------
    epochs, batch_size
        Passes over the training rows, and rows per step.
    optimiser, scheduler
        See :mod:`hms_search.training.optim` and :mod:`hms_search.training.schedulers`.
    gradient_clip
        Largest norm of the gradient of all parameters together, or null.
    amp
        Mixed precision: ``auto`` is bfloat16 (float16 where the GPU lacks it) on CUDA and off on a CPU.
    channels_last
        Whether the network's weights lie channels last in memory. ``auto`` is on: training steps on two CPU cores
        (128 x 256, batch 16) took 0.6 of the time for EfficientNet-B1 and B0, 0.85 for ResNet-34d and 18, and no more
        for ConvNeXt, than in the contiguous format, and mixed precision on CUDA wants it.
    select
        ``last``: the fold's value and weights are the last epoch's. ``best``: the best epoch's, chosen on the rows it
        is scored on and therefore marked as optimistic.
    """

    epochs: int = Field(2, ge=1)
    batch_size: int = Field(16, ge=1)
    optimiser: Optimiser = AdamW()
    scheduler: Scheduler = Cosine()
    gradient_clip: float | None = Field(None, gt=0)
    amp: Literal["auto", "off", "bfloat16", "float16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    select: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> Self:
        warmup = warmup_epochs(self.scheduler)
        if warmup >= self.epochs:
            raise ValueError(
                f"scheduler.warmup_epochs must be below epochs, found {warmup:g} with epochs {self.epochs}"
            )
        return self
