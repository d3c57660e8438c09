"""What a trial costs beyond the bare training of its network.

Part 1, training: wall time of ``run_experiment`` on a prepared Store (2 folds x 2 epochs, as a search trial runs) over
the bare forward / backward / step and validation of the same network, shapes, batches, memory format and threads on
tensors already in memory. Both are timed in turn in one process; the ratio is the median over repeats. Building the
networks, reading, the input pipeline, shuffling and scoring are on the trial's side only. The data are synthetic.

Expected before measuring: about 1.04. A batch of 16 costs some 10 ms to read and transform and some 500 ms to learn
from; building two networks adds about 0.3 s to some 12 s.

Part 2, platform: a study of small trials through the coordinator and a worker, on the default local stores. What a
trial takes from one ``tell`` to the next, less the seconds its epochs took, is the platform's: ask, the hand-over, the
MLflow run, building the network, verdicts, reports, the learning curve, tell. The median over trials after the first.

Expected before measuring: about 0.25 s, half of it the learning curve's picture and SQLite's commits.

Run: ``python benchmarks/trial_overhead.py [--backbone NAME] [--size H W] [--repeats N] [--sampling label|spectrogram]``
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from measured import Figure, at_most
from torch import Tensor
from torch.nn import functional

from hms_search.data.batches import Batches, InOrder
from hms_search.data.folds import FoldPlan, GroupedFolds, plan_folds
from hms_search.data.prepare import prepare
from hms_search.data.sampling import LabelSampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.shapes import ImageShape
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.search.events import Event, Finished, Judged
from hms_search.search.places import Places
from hms_search.search.session import run_study
from hms_search.search.study import StudyConfig
from hms_search.training.precision import memory_format

SAMPLINGS = {"label": (LabelSampling(), 14), "spectrogram": (SpectrogramSampling(), 90)}
"""Sampling rule, and how many synthetic patients give it at least 160 samples."""
MIN_WINDOWS = 160
Split = tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What a trial costs beyond the bare training of its network.")
    parser.add_argument("--backbone", default="efficientnet_b1")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 256))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sampling", choices=list(SAMPLINGS), default="label")
    parser.add_argument("--part", choices=["training", "platform", "all"], default="all")
    options = parser.parse_args(arguments)
    parts = {"training": lambda: training_part(options), "platform": platform_part}
    figures = [figure for name, part in parts.items() if options.part in (name, "all") for figure in part()]
    for figure in figures:
        print(figure.line())


# --- part 1: training ------------------------------------------------------------------------------------------------


def training_part(options: argparse.Namespace) -> list[Figure]:
    """Time trials and bare training in turn and return their ratio."""
    config = ExperimentConfig.model_validate(
        {
            "pipeline": {"source": "spectrogram", "resize": options.size},
            "model": {"name": "timm", "backbone": options.backbone},
            "training": {"epochs": 2, "batch_size": 16},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        store = prepared_store(Path(folder), options.sampling)
        plan = plan_folds(GroupedFolds(n_folds=2), store)
        splits = [in_memory(config, store, plan, fold) for fold in plan.use]
        print(
            f"{options.backbone}, {options.size[0]} x {options.size[1]}, {len(store)} synthetic samples ("
            f"{options.sampling}), 2 folds x 2 epochs, batch 16, {torch.get_num_threads()} threads"
        )
        print(f"{'repeat':>6}  {'bare (s)':>9}  {'trial (s)':>9}  {'ratio':>6}")
        ratios = []
        bare_training(config, splits[:1])  # the first run of a process also pays for choosing kernels
        for repeat in range(options.repeats):
            bare = bare_training(config, splits)
            started = time.perf_counter()
            run_experiment(config, store, plan, device="cpu")
            trial = time.perf_counter() - started
            ratios.append(trial / bare)
            print(f"{repeat + 1:>6}  {bare:>9.2f}  {trial:>9.2f}  {ratios[-1]:>6.3f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"{'median':>6}  {'':>9}  {'':>9}  {ratio:>6.3f}")
    return [at_most("trial_over_bare_training", ratio, 1.08, "ratio")]


def prepared_store(folder: Path, sampling: str) -> Store:
    """Return a Store of synthetic data, prepared for real."""
    rule, n_patients = SAMPLINGS[sampling]
    write_synthetic(folder / "data", n_patients=n_patients, seed=0)
    prepare(folder / "data", folder / "store")
    store = Store.open(folder / "store", rule)
    if len(store) < MIN_WINDOWS:
        raise SystemExit(f"expected at least {MIN_WINDOWS} samples, found {len(store)}; use more patients")
    return store


def in_memory(config: ExperimentConfig, store: Store, plan: FoldPlan, fold: int) -> Split:
    """Return a fold's training and validation batches as tensors: the images that the trial sees."""
    pipeline = config.pipeline.fit(store.histograms().sum(axis=0))
    sides = []
    for rows in plan.split(fold):
        batches = Batches(
            store,
            InOrder(rows, store.targets),
            pipeline,
            batch_size=config.training.batch_size,
            device=torch.device("cpu"),
        )
        sides.append([(batch.x, batch.target) for batch in batches])
        batches.close()
    return sides[0], sides[1]


def bare_training(config: ExperimentConfig, splits: Sequence[Split]) -> float:
    """Return the seconds that a plain PyTorch loop takes on tensors in memory, building the networks not counted."""
    seconds = 0.0
    for training, validation in splits:
        network = config.model.build(ImageShape(1, config.pipeline.resize)).to(
            memory_format=memory_format(config.training.channels_last)
        )
        optimiser = config.training.optimiser.build(network.parameters())
        started = time.perf_counter()
        for _ in range(config.training.epochs):
            network.train()
            for x, target in training:
                loss = functional.kl_div(network(x).log_softmax(dim=1), target, reduction="batchmean")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            network.eval()
            with torch.inference_mode():
                for x, _ in validation:
                    network(x).softmax(dim=1)
        seconds += time.perf_counter() - started
    return seconds


# --- part 2: platform ------------------------------------------------------------------------------------------------

SMALL_STUDY = {
    "name": "overhead",
    "space": {
        "name": "overhead",
        "base": {
            "pipeline": {"source": "spectrogram", "resize": [32, 48]},
            "model": {"name": "timm", "backbone": "test_resnet"},
            "training": {"epochs": 2, "batch_size": 16},
        },
        "parameters": {
            "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "training.optimiser.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "pipeline.clip_log.high": {"type": "float", "low": 6.0, "high": 12.0},
        },
    },
    "data": {"root": "synthetic", "synthetic": {"patients": 8}, "sampling": {"name": "eeg_middle"}},
    "sampler": {"name": "tpe", "n_startup_trials": 3},
    "pruner": {"name": "median"},
    "trials": 12,
    "device": "cpu",
}


def platform_part() -> list[Figure]:
    """Run a study of small trials and return what each costs outside its epochs."""
    training, ended = defaultdict(float), {}

    def notice(event: Event) -> None:
        if isinstance(event, Judged):
            training[event.ended.number] += event.ended.epoch.seconds
        elif isinstance(event, Finished):
            ended[event.ended.number] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        config = StudyConfig.model_validate(SMALL_STUDY)
        run_study(config, Places(root=Path(folder)), notify=notice, progress=lambda *_: None)
    costs = [ended[number] - ended[number - 1] - training[number] for number in sorted(ended)[1:]]
    print(f"\nplatform, {len(ended)} small trials of 2 folds x 2 epochs: seconds per trial outside its epochs")
    print(f"min {min(costs):.3f}  median {statistics.median(costs):.3f}  max {max(costs):.3f}")
    return [at_most("platform_seconds_per_trial", statistics.median(costs), 0.3, "s")]


if __name__ == "__main__":
    main(sys.argv[1:])
