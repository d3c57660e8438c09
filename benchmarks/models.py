"""What training costs with each model: windows per second and peak memory, and the trainer beside a bare loop.

Every model runs in a process of its own, on noise in the shape of its input. In turn, the platform's pass over some
batches (:func:`hms_search.training.passes.train_epoch`: batches stacked a batch ahead from a source in memory, weighted
loss, schedule, checks) and the same network written bare: forward, KL, backward, AdamW, on tensors already in
memory, in the same memory format with the same threads. The ratio is the median over repeats. Memory is what the
process's peak grew by from before the network was built. The input pipeline is not in it; see ``input_pipeline.py``.

Networks have the write-ups' backbones and blocks; signals are short and images small, so that two quiet cores run all
in some five minutes. On busy cores the figures say nothing: there a case can take ten times as long.

Expected before measuring: 1.01 to 1.05. A step of the platform costs about half a millisecond more, which shows only
where a step is as short as that of ``eeg_cnn``.

Run: ``python benchmarks/models.py [NAME ...] [--repeats N] [--threads N]``
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from hms_search.data.batches import Batches, InOrder
from hms_search.data.labels import CLASSES
from hms_search.eeg.pipelines import Inputs
from hms_search.eeg.shapes import ImageShape, InputShape, Kind
from hms_search.models import Model
from hms_search.models.heads import Heads
from hms_search.training.config import TrainingConfig
from hms_search.training.learner import Learner
from hms_search.training.passes import train_epoch

TARGET = 1.10
SECONDS, MOST_STEPS = 1.5, 48
"""A pass takes about so long, and has no more steps than that, nor fewer than two."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Case:
    """A model, the shape of one sample of each kind of its input, and rows per step."""

    model: Mapping[str, object]
    shape: Mapping[Kind, tuple[int, ...]]
    batch: int = 8


def timm(backbone: str) -> dict[str, object]:
    return {"name": "timm", "backbone": backbone}


B4, B2 = timm("hgnetv2_b4"), timm("hgnetv2_b2")
WAVENET = {"name": "wavenet", "image": B4}
STFT = {"name": "stft_image", "image": B4}
ATTENTION = {"name": "attention_spectrogram", "image": B2}
MULTIMODAL = {"name": "multimodal", "wavenet": WAVENET, "stft_image": STFT, "attention_spectrogram": ATTENTION}
PLACE15: Mapping[Kind, tuple[int, ...]] = MappingProxyType({"eeg": (1, 8, 1000)})
SLICES: Mapping[Kind, tuple[int, ...]] = MappingProxyType({"spectrogram": (10, 50, 75)})
SIGNALS: Mapping[Kind, tuple[int, ...]] = MappingProxyType({"eeg": (1, 16, 2000)})
CASES = {
    "timm efficientnet_b1": Case(timm("efficientnet_b1"), {"spectrogram": (1, 128, 256)}),
    "timm resnet34d": Case(timm("resnet34d"), {"spectrogram": (1, 128, 256)}),
    "wavenet": Case(WAVENET, PLACE15, batch=4),
    "wavenet starter": Case({"name": "wavenet", "blocks": {"name": "starter"}, "image": None}, PLACE15, batch=4),
    "stft_image": Case(STFT, PLACE15),
    "attention_spectrogram": Case(ATTENTION, SLICES),
    "multimodal": Case(MULTIMODAL, {**PLACE15, **SLICES}, batch=4),
    "eeg_cnn": Case({"name": "eeg_cnn"}, {"eeg": (3, 20, 24)}, batch=32),
    "efficientnet1d": Case({"name": "efficientnet1d"}, SIGNALS),
    "eeg_gru": Case({"name": "eeg_gru"}, SIGNALS),
    "braindecode eegnet": Case({"name": "braindecode", "network": "eegnet"}, SIGNALS),
    "braindecode shallow_fbcsp": Case({"name": "braindecode", "network": "shallow_fbcsp"}, SIGNALS),
}


class Noise:
    """A source of two batches of noise that are a network's input as they are; so it is its own pipeline, too."""

    config = SimpleNamespace(any_length=True)

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        self.samples = [
            {kind: rng.normal(size=shape).astype(np.float32) for kind, shape in case.shape.items()}
            for _ in range(2 * case.batch)
        ]
        self.targets = rng.dirichlet(np.ones(len(CLASSES)), len(self.samples))
        shapes: dict[Kind, ImageShape] = {kind: ImageShape(shape[0], shape[1:]) for kind, shape in case.shape.items()}
        self.shape: InputShape = shapes if len(shapes) > 1 else next(iter(shapes.values()))

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return a sample."""
        return self.samples[row]

    def inputs(self, recordings: dict[Kind, Tensor]) -> Inputs:
        """Return the samples as they are."""
        return recordings if len(recordings) > 1 else next(iter(recordings.values()))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What training costs with each model.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CASES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        torch.set_num_threads(options.threads)
        print(json.dumps(measure(CASES[options.measure], options.repeats)))
        return
    print(f"{options.threads} threads, medians of {options.repeats} repeats")
    print(f"{'model':<27}{'input':>26}{'batch':>6}{'params':>12}{'windows/s':>11}{'peak MiB':>10}{'ratio':>8}")
    ratios = []
    for name in options.names or CASES:
        found = in_a_process(name, options)
        ratios.append(found["ratio"])
        shapes = " + ".join(str(list(shape)) for shape in CASES[name].shape.values())
        print(
            f"{name:<27}{shapes:>26}{CASES[name].batch:>6}{found['parameters']:>12,}{found['windows_s']:>11.1f}"
            f"{found['peak_mib']:>10.0f}{found['ratio']:>8.3f}",
            flush=True,
        )
    figure = {"name": "training_over_bare_worst_model", "value": round(max(ratios), 3), "target": TARGET}
    print(json.dumps({**figure, "unit": "ratio", "holds": max(ratios) <= TARGET}))


def in_a_process(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Return what a fresh process measures of a model, so that no other one's memory is counted."""
    command = [sys.executable, __file__, "--measure", name]
    command += ["--repeats", str(options.repeats), "--threads", str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(case: Case, repeats: int) -> dict[str, float]:
    """Return parameters, the platform's windows per second, the peak memory and the ratio of a model."""
    noise = Noise(case)
    before = peak_mib()
    torch.manual_seed(0)
    network: nn.Module = TypeAdapter(Model).validate_python(case.model).build(noise.shape)
    config = TrainingConfig(epochs=1, batch_size=case.batch, scheduler={"name": "constant"})
    learner = Learner.of(network, config, CPU)
    pairs = [(batch.x, batch.target) for batch in batches_of(noise, case, steps=2)]
    bare(learner, pairs)  # the first steps also pay for choosing kernels
    steps = min(max(round(SECONDS / bare(learner, pairs[:1])), 2), MOST_STEPS)
    batches, pairs = batches_of(noise, case, steps), [pairs[step % 2] for step in range(steps)]
    seconds, ratios = [], []
    for _ in range(repeats):
        alone = bare(learner, pairs)
        started = time.perf_counter()
        train_epoch(learner, batches, 0)
        seconds.append(time.perf_counter() - started)
        ratios.append(seconds[-1] / alone)
    return {
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "windows_s": steps * case.batch / statistics.median(seconds),
        "peak_mib": peak_mib() - before,
        "ratio": statistics.median(ratios),
    }


def batches_of(noise: Noise, case: Case, steps: int) -> Batches:
    rows = np.arange(steps * case.batch) % len(noise.targets)
    return Batches(noise, InOrder(rows, noise.targets), noise, batch_size=case.batch, device=CPU)


def bare(learner: Learner, pairs: Sequence[tuple[Inputs, Tensor]]) -> float:
    """Return the seconds of a plain PyTorch loop over tensors in memory."""
    network, optimiser = learner.model.train(), learner.optimiser
    started = time.perf_counter()
    for x, target in pairs:
        loss = loss_of(network(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return time.perf_counter() - started


def loss_of(output: Tensor | Heads, target: Tensor) -> Tensor:
    if isinstance(output, Tensor):
        return functional.kl_div(output.log_softmax(dim=1), target, reduction="batchmean")
    logits = (output.main, *output.auxiliary)
    return sum(weight * loss_of(one, target) for weight, one in zip(output.weights, logits, strict=True))


def peak_mib() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
