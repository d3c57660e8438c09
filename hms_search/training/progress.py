"""How far a fold has come, and how that becomes a checkpoint's state and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.data.batches import Batches
from hms_search.training.learner import Learner
from hms_search.training.results import Epoch, FoldResult
from hms_search.training.tasks import Task


@dataclass(frozen=True)
class Selected:
    """The epoch a fold is judged by so far; ``weights`` only where a later one may not take its place."""

    epoch: Epoch
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows classes"]
    weights: dict[str, Tensor] | None


@dataclass
class FoldProgress:
    """The epochs of a fold that are done, and the selected one."""

    epochs: list[Epoch] = field(default_factory=list)
    selected: Selected | None = None

    def state(self, learner: Learner, train: Batches) -> dict[str, Any]:
        """Return all that the next epoch depends on, as tensors, numbers, lists and mappings."""
        return {
            "epochs": [_plain(epoch) for epoch in self.epochs],
            "selected": None if self.selected is None else _selected_state(self.selected),
            "model": learner.model.state_dict(),
            "average": learner.average.state(),
            "optimiser": learner.optimiser.state_dict(),
            "scaler": learner.precision.state(),
            "random": _random_state(train),
        }

    @classmethod
    def restored(cls, state: Mapping[str, Any], learner: Learner, train: Batches, task: Task) -> "FoldProgress":
        """Put learner and random numbers where ``state`` left them and return the progress until then."""
        learner.model.load_state_dict(state["model"])
        learner.average.restore(state["average"])
        learner.optimiser.load_state_dict(state["optimiser"])
        learner.precision.restore(state["scaler"])
        epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        for epoch in epochs:
            learner.schedule.epoch_ended(epoch.epoch, train=epoch.train_loss, validation=task.as_loss(epoch.value))
        _restore_random(state["random"], train)
        kept = state["selected"]
        return cls(epochs, None if kept is None else _selected(kept, epochs))


def result_state(result: FoldResult) -> dict[str, Any]:
    """Return a fold's result as a checkpoint's state."""
    return {
        "fold": result.fold,
        "value": result.value,
        "epochs": [_plain(epoch) for epoch in result.epochs],
        "selected_epoch": result.selected_epoch,
        "optimistic": result.optimistic,
        "rows": torch.from_numpy(result.rows),
        "probabilities": torch.from_numpy(result.probabilities),
        "metrics": result.metrics,
    }


def result_of(state: Mapping[str, Any]) -> FoldResult:
    """Return the result that :func:`result_state` made a state of."""
    arrays = {name: state[name].numpy() for name in ("rows", "probabilities")}
    epochs = tuple(Epoch(**epoch) for epoch in state["epochs"])
    return FoldResult(**{**state, **arrays, "epochs": epochs})


def _plain(epoch: Epoch) -> dict[str, Any]:
    return asdict(replace(epoch, losses=None))


def _selected_state(selected: Selected) -> dict[str, Any]:
    return {
        "epoch": selected.epoch.epoch,
        "rows": torch.from_numpy(selected.rows),
        "probabilities": torch.from_numpy(selected.probabilities),
        "weights": selected.weights,
    }


def _selected(state: Mapping[str, Any], epochs: list[Epoch]) -> Selected:
    epoch = epochs[state["epoch"]]
    return Selected(epoch, state["rows"].numpy(), state["probabilities"].numpy(), state["weights"])


def _random_state(train: Batches) -> dict[str, Any]:
    cuda, generator = train.device.type == "cuda", train.draw.generator
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(train.device) if cuda else None,
        "shuffle": None if generator is None else generator.get_state(),
    }


def _restore_random(state: Mapping[str, Any], train: Batches) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None and train.device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], train.device)
    if train.draw.generator is not None:
        train.draw.generator.set_state(state["shuffle"])
