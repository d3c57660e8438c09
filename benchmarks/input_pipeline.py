"""What the input costs: windows per second of whole pipelines, and their share of an EfficientNet-B1 training step.

Each shipped search space's base pipeline takes the same batch of recordings (noise with gaps, as the Store has them) to
the network's input; the training step is forward, backward and update of EfficientNet-B1 on images of that very size,
in the same process with the same threads. The input is made in the training thread, so its share is what it adds.

Expected before measuring: under 5 % for all; a step at 512 x 256 takes about 0.3 s a window, a pipeline a few
milliseconds, most of it filters.

Run: ``python benchmarks/input_pipeline.py [--batch N] [--repeats N] [--threads N]``
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from hms_search.data.fitting import fit_pipeline
from hms_search.document import read_yaml
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.eeg.histogram import count_log_power
from hms_search.eeg.shapes import ImageShape, Kind
from hms_search.models import TimmImage
from hms_search.search.space import SearchSpace
from hms_search.training.losses import kl_divergence

SPACES = Path(__file__).parents[1] / "search_spaces"
NAMES = ("effnet_b1", "deotte_mel", "deotte_both", "silver98_logmel", "radboud_spectrograms", "signals")
OTHERS = {
    "stft": {"montage": {"name": "place15"}, "representation": {"name": "stft"}, "layout": {"name": "restack"}},
    "zoom": {
        "montage": {"name": "interleaved16"},
        "representation": {"name": "zoom"},
        "layout": {"name": "stack", "channels": 3},
    },
    "fft_image": {
        "montage": {"name": "tuh20"},
        "representation": {"name": "fft_image"},
        "layout": {"name": "channels"},
        "resize": [240, 288],
    },
    "waveform": {
        "montage": {"name": "double_banana_16"},
        "representation": {"name": "waveform"},
        "resize": [160, 1000],
    },
}
"""Representations that no shipped space of one image has, in the sources' sizes or what B1 can look at."""
TARGET = 0.15
CPU = torch.device("cpu")


class Recorded:
    """Noise in the shape of recordings, with a 25th missing."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self.values: dict[Kind, np.ndarray] = {
            "eeg": rng.normal(0, 40, (n, 10_000, 20)).astype(np.float16),
            "spectrogram": rng.normal(0, 2, (n, 300, 400)).astype(np.float16),
        }
        for values in self.values.values():
            values[:, : values.shape[1] // 25] = np.nan

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return a recording of each kind."""
        return {kind: values[row] for kind, values in self.values.items()}

    def histograms(self) -> np.ndarray:
        """Return the histograms of all, as if they were log power."""
        return np.stack([count_log_power(values) for values in self.values["spectrogram"]])


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What the input costs.")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    print(f"batches of {options.batch}, {options.threads} threads, {options.repeats} repeats, medians")
    print(f"{'pipeline':<22}{'image':>16}{'windows/s':>12}{'step s/window':>15}{'share':>8}")
    worst = 0.0
    spaces = {name: SearchSpace.from_document(read_yaml(SPACES / f"{name}.yaml")).base.pipeline for name in NAMES}
    others = {
        name: EegPipeline.model_validate({"clip_uv": 1024, "scale_uv": 32, **other}) for name, other in OTHERS.items()
    }
    for name, config in (spaces | others).items():
        recorded = Recorded(options.batch)
        pipeline = fit_pipeline(config, recorded, np.arange(options.batch), device=CPU)
        x: dict[Kind, torch.Tensor] = {kind: torch.from_numpy(values) for kind, values in recorded.values.items()}
        images, shape = pipeline.inputs(x), config.shape
        assert isinstance(images, torch.Tensor)
        assert isinstance(shape, ImageShape)
        seconds = median(partial(pipeline.inputs, x), options.repeats + 2) / options.batch
        step = median(training_step(images, shape), options.repeats) / options.batch
        share = seconds / (seconds + step)
        worst = max(worst, share)
        size = " x ".join(map(str, images.shape[1:]))
        print(f"{name:<22}{size:>16}{1 / seconds:>12.0f}{step:>15.3f}{share:>8.1%}", flush=True)
    figure = {"name": "input_share_of_training_step_worst", "value": round(worst, 4), "target": TARGET}
    print(json.dumps({**figure, "unit": "ratio", "holds": worst <= TARGET}))


def training_step(images: torch.Tensor, shape: ImageShape) -> Callable[[], object]:
    model = TimmImage(backbone="efficientnet_b1").build(shape).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    target = torch.full((len(images), 6), 1 / 6)

    def step() -> None:
        loss = kl_divergence(model(images), target).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def median(way: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of some calls; the first is not counted."""
    way()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
