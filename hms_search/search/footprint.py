"""What a trial's network costs, known before it is trained: its size, its time to predict, its memory to train."""

import statistics
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hms_search.data.batches import Batches, InOrder
from hms_search.data.samples import Samples
from hms_search.errors import TrainingError
from hms_search.experiment import ExperimentConfig
from hms_search.models.device import device_of
from hms_search.search.aims import Cost
from hms_search.search.step_timing import TimedExperiment, plain
from hms_search.training.passes import predict, train_epoch

_BATCH = 16
_PASSES = 9


def footprint(
    config: ExperimentConfig, store: Samples, costs: Collection[Cost], *, device: str = "auto"
) -> dict[str, float]:
    """Return what is asked for of an experiment's costs.

    ``parameters``: the numbers of the network. ``latency_ms``: milliseconds per recording from the prepared recording
    to probabilities (reading, input pipeline, network), the median of nine batches of 16 after one that is not counted,
    on this machine's device with this process's threads. ``memory_mb``: what a training step holds in 10^6 bytes:
    weights, gradients, the optimiser's state, and what the forward pass keeps for the backward pass, counted in one
    step; what the device's library works in is not in it, so that every machine finds the same.

    Raises TrainingError where the network does not fit into memory.
    """
    if not costs:
        return {}
    target = device_of(device)
    try:
        with torch.random.fork_rng(
            devices=[target] if target.type == "cuda" else []
        ):  # the training's chance is its own
            return _measured(plain(config), store, costs, device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingError(
            f"out of memory before training: {str(error).splitlines()[0]}; a smaller network"
        ) from error


def _measured(experiment: ExperimentConfig, store: Samples, costs: Collection[Cost], device: str) -> dict[str, float]:
    found: dict[str, float] = {}
    if "parameters" in costs:
        timed = TimedExperiment.of(experiment, store, device)
        found["parameters"] = float(sum(weight.numel() for weight in timed.learner.model.parameters()))
    if "latency_ms" in costs:
        found["latency_ms"] = _latency_ms(experiment, store, device)
    if "memory_mb" in costs:
        found["memory_mb"] = _memory_mb(experiment, store, device)
    return found


def _latency_ms(config: ExperimentConfig, store: Samples, device: str) -> float:
    timed = TimedExperiment.of(config, store, device)
    few, pipeline = timed.few(_BATCH)
    batches = Batches(
        few, InOrder(np.arange(_BATCH), few.targets), pipeline, batch_size=_BATCH, device=device_of(device)
    )
    seconds = []
    try:
        for _ in range(1 + _PASSES):
            started = time.perf_counter()
            predict(timed.learner.average.network, batches, timed.learner.precision)
            seconds.append(time.perf_counter() - started)
    finally:
        batches.close()
    return 1000 * statistics.median(seconds[1:]) / _BATCH


def _memory_mb(config: ExperimentConfig, store: Samples, device: str) -> float:
    timed = TimedExperiment.of(config, store, device)
    weights = [weight for weight in timed.learner.model.parameters() if weight.requires_grad]
    kept = _Kept({tensor.untyped_storage().data_ptr() for tensor in timed.learner.model.parameters()})
    batches = timed.training(1)
    try:
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, _unpack):
            train_epoch(timed.learner, batches, 0)
    finally:
        batches.close()
    moments = [one for state in timed.learner.optimiser.state.values() for one in state.values()]
    of_weights = _bytes(list(timed.learner.model.parameters())) + _bytes(weights)  # themselves and their gradients
    of_optimiser = _bytes([one for one in moments if isinstance(one, Tensor)])
    return (of_weights + of_optimiser + sum(kept.sizes.values())) / 1e6


@dataclass
class _Kept:
    """The storages that a forward pass keeps for the backward pass, by address, without those of the weights."""

    weights: set[int]
    sizes: dict[int, int] = field(default_factory=dict)

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.weights:
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def _unpack(tensor: Tensor) -> Tensor:
    return tensor


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
