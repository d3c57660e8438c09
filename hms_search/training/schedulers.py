"""Learning-rate schedules as pure functions: where training stands -> learning rate.

``warmup_epochs`` raises the rate linearly, batch by batch, from near 0 to the optimiser's rate; the schedule proper
runs over the epochs after it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import optim

from hms_search.component import Component

WarmupEpochs = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class Moment:
    """Where training stands: epochs behind it, the batch of the current one, and what was monitored after each epoch.

    ``warmup`` of the ``epochs`` belong to the warm-up.
    """

    epoch: int
    epochs: int
    batch: int = 0
    batches: int = 1
    warmup: float = 0.0
    monitored: tuple[float, ...] = ()

    @property
    def warmup_factor(self) -> float:
        """The share of the learning rate reached by the warm-up, 1 once it is over."""
        steps = self.warmup * self.batches
        done = self.epoch * self.batches + self.batch + 1
        return min(1.0, done / (steps + 1))

    @property
    def after_warmup(self) -> float:
        """Whole epochs behind the training, less the warm-up."""
        return max(0.0, self.epoch - self.warmup)


class Cosine(Component):
    """Half a cosine from the optimiser's rate to ``eta_min``, stepped once per epoch (the baseline).

    lr(e) = eta_min + (lr - eta_min) (1 + cos(pi e / epochs)) / 2 for epoch e = 0, 1, ...: the last epoch still learns.
    Loshchilov & Hutter 2017, as PyTorch's CosineAnnealingLR with T_max = epochs.
    """

    name: Literal["cosine"] = "cosine"
    eta_min: float = Field(0.0, ge=0)
    warmup_epochs: WarmupEpochs = 0.0

    def lr(self, base: float, moment: Moment) -> float:
        """Return the learning rate of a batch."""
        share = moment.after_warmup / (moment.epochs - moment.warmup)
        rate = self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * share)) / 2
        return rate * moment.warmup_factor


class Plateau(Component):
    """The rate is multiplied by ``factor`` when the monitored loss has not fallen for more than ``patience`` epochs.

    ``monitor: train`` watches the mean training loss. ``monitor: validation`` watches the validation KL, as the
    original report did; the validation rows then steer the training that they score, so its value is optimistic.
    A fall counts from 0.01 % on, as in PyTorch's ReduceLROnPlateau.
    """

    name: Literal["plateau"] = "plateau"
    factor: Fraction = 0.1
    patience: int = Field(1, ge=0)
    monitor: Literal["train", "validation"] = "train"
    warmup_epochs: WarmupEpochs = 0.0

    def lr(self, base: float, moment: Moment) -> float:
        """Return the learning rate of a batch."""
        return base * math.pow(self.factor, self._reductions(moment.monitored)) * moment.warmup_factor

    def _reductions(self, monitored: Sequence[float]) -> int:
        best, waited, reductions = math.inf, 0, 0
        for value in monitored:
            if value < best * (1 - 1e-4):
                best, waited = value, 0
            else:
                waited += 1
            if waited > self.patience:
                reductions, waited = reductions + 1, 0
        return reductions


class OneCycle(Component):
    """Up and down within the run, changed every batch (Smith & Topin 2018); its rise is its warm-up.

    From lr / ``div_factor`` along a half cosine to the optimiser's rate at ``pct_start`` of the batches, then down to
    lr / ``div_factor`` / ``final_div_factor``. PyTorch's OneCycleLR, but the betas stay as they are.
    """

    name: Literal["one_cycle"] = "one_cycle"
    pct_start: Fraction = 0.3
    div_factor: float = Field(25.0, ge=1)
    final_div_factor: float = Field(1e4, ge=1)

    def lr(self, base: float, moment: Moment) -> float:
        """Return the learning rate of a batch."""
        last = moment.epochs * moment.batches - 1
        step = moment.epoch * moment.batches + moment.batch
        peak = max(0.0, self.pct_start * (last + 1) - 1)
        start, end = base / self.div_factor, base / self.div_factor / self.final_div_factor
        if step <= peak:
            return _half_cosine(start, base, step / peak if peak else 1.0)
        return _half_cosine(base, end, (step - peak) / (last - peak))


class Step(Component):
    """The rate is multiplied by ``gamma`` every ``step_epochs`` epochs."""

    name: Literal["step"] = "step"
    step_epochs: int = Field(1, ge=1)
    gamma: Fraction = 0.1
    warmup_epochs: WarmupEpochs = 0.0

    def lr(self, base: float, moment: Moment) -> float:
        """Return the learning rate of a batch."""
        return base * math.pow(self.gamma, moment.after_warmup // self.step_epochs) * moment.warmup_factor


class Constant(Component):
    """The optimiser's rate throughout."""

    name: Literal["constant"] = "constant"
    warmup_epochs: WarmupEpochs = 0.0

    def lr(self, base: float, moment: Moment) -> float:
        """Return the learning rate of a batch."""
        return base * moment.warmup_factor


Scheduler = Annotated[Cosine | Plateau | OneCycle | Step | Constant, Field(discriminator="name")]
"""Every schedule; a new one is a class here and its place in this union."""


class Schedule:
    """Sets an optimiser's learning rate before every step of a run of ``epochs``; to start from ``lr`` if given.

    A parameter group with an ``lr_scale`` has so many times the rate.
    """

    def __init__(
        self, scheduler: Scheduler, optimiser: optim.Optimizer, *, epochs: int, lr: float | None = None
    ) -> None:
        self._scheduler = scheduler
        self._optimiser = optimiser
        self._base = float(optimiser.defaults["lr"]) if lr is None else lr
        self._epochs = epochs
        self._monitored: tuple[float, ...] = ()

    def set(self, epoch: int, step: int, steps: int) -> float:
        """Set the rates for a step, one of the epoch's ``steps``, and return the rate of what is not scaled."""
        moment = Moment(epoch, self._epochs, step, steps, warmup_epochs(self._scheduler), monitored=self._monitored)
        rate = self._scheduler.lr(self._base, moment)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate

    def epoch_ended(self, *, train: float, validation: float) -> None:
        """Take note of an epoch's losses; only a plateau schedule looks at them, at the one it monitors."""
        watches_validation = isinstance(self._scheduler, Plateau) and self._scheduler.monitor == "validation"
        self._monitored = (*self._monitored, validation if watches_validation else train)


def warmup_epochs(scheduler: Scheduler) -> float:
    """Return how many epochs a schedule warms up; a one-cycle schedule rises by itself."""
    return 0.0 if isinstance(scheduler, OneCycle) else scheduler.warmup_epochs


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
