"""TrainingConfig: how a network is trained; see :func:`hms_search.training.trainer.fit`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from hms_search.component import Component
from hms_search.training.averaging import Ema, Swa
from hms_search.training.optim import AdamW, Optimiser
from hms_search.training.parameter_groups import LrGroup
from hms_search.training.schedulers import Cosine, Scheduler, warmup_epochs
from hms_search.training.soft import NoisyStudent, PseudoLabels
from hms_search.training.stages import Span, Stage, spans_of
from hms_search.training.weights import RowWeights, Unweighted


class TrainingConfig(Component):
    """How a network is trained; the defaults are the baseline notebook's.

    Attributes
    ----------
    epochs, batch_size
        Passes over the training rows in all stages together, and rows that the network sees at a time.
    accumulate
        Batches per optimiser step; the last step of an epoch has those that are left. Loss, gradient clip and schedule
        are those of one batch of all their rows, memory and batch normalisation those of a single one.
    optimiser, scheduler
        See :mod:`hms_search.training.optim` and :mod:`hms_search.training.schedulers`.
    lr_groups
        Parameters, by the beginning of their names, whose rate is a multiple of the schedule's: ``{prefix: image.,
        factor: 0.1}``.
    weight_decay_on
        ``all``: every parameter, as in the baseline. ``weights``: not biases and normalisation layers.
    stages
        Rows and schedules that change on the way, see :mod:`hms_search.training.stages`; none: one stage, all rows.
    sampler
        ``none``: each row once per epoch. ``balanced``: as many rows per epoch, drawn with replacement, so that each
        class is the consensus of equally many.
    weights
        See :mod:`hms_search.training.weights`.
    label_smoothing
        e in (1 - e) target + e / 6, for training only.
    noisy_student, pseudo_labels
        See :mod:`hms_search.training.soft`.
    gradient_clip
        Largest norm of the gradient of all parameters together, or null.
    ema, swa
        An average of the weights, which is validated and kept in their place; see
        :mod:`hms_search.training.averaging`.
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
    accumulate: int = Field(1, ge=1)
    optimiser: Optimiser = AdamW()
    scheduler: Scheduler = Cosine()
    lr_groups: tuple[LrGroup, ...] = ()
    weight_decay_on: Literal["all", "weights"] = "all"
    stages: tuple[Stage, ...] = ()
    sampler: Literal["none", "balanced"] = "none"
    weights: RowWeights = Unweighted()
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    noisy_student: NoisyStudent | None = None
    pseudo_labels: PseudoLabels | None = None
    gradient_clip: float | None = Field(None, gt=0)
    ema: Ema | None = None
    swa: Swa | None = None
    amp: Literal["auto", "off", "bfloat16", "float16"] = "auto"
    channels_last: bool | Literal["auto"] = "auto"
    select: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _warms_up_in_time(self) -> Self:
        shared = 0
        for number, span in enumerate(self.spans):
            if span.stage.has_own_schedule:
                name = f"stages.{number}: " if span.stage.scheduler else f"stages.{number}: training's "
                _check_warmup(span.stage.scheduler or self.scheduler, span.epochs, name)
            else:
                shared += span.epochs
        if shared:
            _check_warmup(self.scheduler, shared, "")
        return self

    @model_validator(mode="after")
    def _averages_one_way(self) -> Self:
        if self.ema is not None and self.swa is not None:
            raise ValueError("ema and swa both average the weights; expected one of them, found both; set one to null")
        if self.swa is not None and self.swa.start >= self.epochs:
            raise ValueError(f"swa.start must be below epochs, found {self.swa.start} with epochs {self.epochs}")
        return self

    @model_validator(mode="after")
    def _names_a_prefix_once(self) -> Self:
        prefixes = [group.prefix for group in self.lr_groups]
        twice = sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1})
        if twice:
            raise ValueError(f"lr_groups: each prefix once, found {', '.join(twice)} again; remove all but one")
        return self

    @property
    def spans(self) -> tuple[Span, ...]:
        """The epochs of each stage."""
        return spans_of(self.stages, self.epochs)

    @property
    def optimistic(self) -> bool:
        """Whether the validated rows may have had a part in the training that they score."""
        return self.select == "best" or self.targets_may_leak

    @property
    def targets_may_leak(self) -> bool:
        """Whether predicted targets may come from networks that know the validated labels."""
        return any(part is not None and part.optimistic for part in (self.noisy_student, self.pseudo_labels))


def _check_warmup(scheduler: Scheduler, epochs: int, name: str) -> None:
    warmup = warmup_epochs(scheduler)
    if warmup >= epochs:
        raise ValueError(f"{name}scheduler.warmup_epochs must be below epochs, found {warmup:g} with epochs {epochs}")
