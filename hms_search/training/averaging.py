"""Averages of a network's weights on its way, which generalise better than the weights where it ends."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from hms_search.component import Component
from hms_search.data.batches import Batches
from hms_search.eeg.pipelines import Inputs
from hms_search.training.precision import Precision, UnderPrecision

_Tensors = tuple[Tensor, ...] | list[Tensor]


class Ema(Component):
    """Exponential moving average: after each optimiser step, average = d average + (1 - d) weights.

    The running statistics of batch normalisation are averaged likewise. The average is what is validated after every
    epoch.

    Attributes
    ----------
    decay
        d; the 15th place had 0.99, the 16th 0.8.
    warmup
        After n steps, d is at most (1 + n) / (10 + n), as TensorFlow's ExponentialMovingAverage has it: else the
        average of a short training, of a few hundred steps, is mostly of what the network was before it learned.
    """

    decay: float = Field(0.99, gt=0, lt=1)
    warmup: bool = True

    def decay_after(self, steps: int) -> float:
        """Return d after so many steps."""
        return min(self.decay, (1 + steps) / (10 + steps)) if self.warmup else self.decay


class Swa(Component):
    """Stochastic weight averaging: the mean of the weights after each epoch from ``start`` on (Izmailov et al. 2018).

    The network is validated as it is until the last epoch. After that one the average takes its place, its batch
    normalisation statistics taken anew in one more pass over training batches.

    Attributes
    ----------
    start
        The first epoch that is averaged, counted from 0: how many epochs lie before it.
    lr
        The constant learning rate from there on; null: the schedule goes on.
    """

    start: int = Field(ge=0)
    lr: float | None = Field(None, gt=0)


class Average:
    """The average that is kept of a network in training, if any is; ``network`` is the one to judge, and to keep."""

    def __init__(self, model: nn.Module, options: Ema | Swa | None, *, epochs: int) -> None:
        self._model, self._options = model, options
        self._averaged: AveragedModel | None = None
        self._n_needed = 0
        if isinstance(options, Ema):
            self._averaged, self._n_needed = AveragedModel(model, use_buffers=True), 1
        elif isinstance(options, Swa):
            self._averaged, self._n_needed = AveragedModel(model), epochs - options.start

    @property
    def network(self) -> nn.Module:
        """The average where it is complete, else the network itself."""
        averaged = self._averaged
        return self._model if averaged is None or int(averaged.n_averaged) < self._n_needed else averaged.module

    def step_taken(self) -> None:
        """Take note of an optimiser step."""
        if self._averaged is not None and isinstance(self._options, Ema):
            self._averaged.multi_avg_fn = _moving(self._options.decay_after(int(self._averaged.n_averaged)))
            self._averaged.update_parameters(self._model)

    def epoch_ended(self, epoch: int, train: Batches, precision: Precision) -> None:
        """Take note of an epoch's last step."""
        if self._averaged is not None and isinstance(self._options, Swa) and epoch >= self._options.start:
            self._averaged.update_parameters(self._model)
            if self.network is not self._model:
                update_bn(_inputs(train, epoch), UnderPrecision(self._averaged, precision))

    def state(self) -> dict[str, Any]:
        """Return the average's state; empty where there is none."""
        return {} if self._averaged is None else self._averaged.state_dict()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        if self._averaged is not None:
            self._averaged.load_state_dict(state)


def _moving(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(averaged: _Tensors, current: _Tensors, n_averaged: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            move(averaged, current, n_averaged)
        else:  # counts and indices: PyTorch's average of them, cut off to whole numbers, would turn a 7 into a 6
            for mine, theirs in zip(averaged, current, strict=True):
                mine.copy_(theirs)

    return update


def _inputs(train: Batches, epoch: int) -> Iterator[Inputs]:
    for batch in train.over(train.draw.portion(epoch)):  # drawn only where it is asked for: it moves the generator
        yield batch.x
