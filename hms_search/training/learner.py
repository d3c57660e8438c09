"""Learner: a network and all that changes its weights."""

from dataclasses import dataclass

import torch
from torch import nn, optim

from hms_search.training.averaging import Average
from hms_search.training.config import TrainingConfig
from hms_search.training.parameter_groups import parameter_groups
from hms_search.training.precision import Precision, memory_format
from hms_search.training.stages import StagedSchedule


@dataclass(frozen=True)
class Learner:
    """A network and what changes its weights; ``accumulate`` batches make a step."""

    model: nn.Module
    optimiser: optim.Optimizer
    schedule: StagedSchedule
    precision: Precision
    average: Average
    accumulate: int
    gradient_clip: float | None

    @classmethod
    def of(cls, model: nn.Module, config: TrainingConfig, device: torch.device) -> "Learner":
        """Return the learner of a network, which is moved to the device."""
        model.to(device=device)
        model.to(memory_format=memory_format(config.channels_last))
        optimiser = config.optimiser.build(parameter_groups(model, config.lr_groups, config.weight_decay_on))
        return cls(
            model,
            optimiser,
            StagedSchedule(config.spans, config.scheduler, optimiser, swa=config.swa),
            Precision(config.amp, device),
            Average(model, config.ema or config.swa, epochs=config.epochs),
            config.accumulate,
            config.gradient_clip,
        )
