"""What a trial costs the platform in a study of 100, 1,000 and 10,000 trials, and how long such a study takes to read.

Overhead: the coordinator asks, hands over, judges four epochs and tells, and the worker's side writes a run with its
parameters, metrics and end to MLflow; all that a trial costs but training, which is left out: the worker is a thread
that answers at once. A study is filled up with finished trials, as they are stored, then some more are run; the median
time of one is taken. The storage is the embedded one, or the one of ``--storage``; MLflow's is the embedded one and has
the runs of this benchmark only. The sampler draws at random: what a model of 10,000 trials costs is the sampler's.

Views: ``ls``, ``show`` and ``report`` of the largest study, each in a process of its own, its start included.

Expected before measuring: 60 ms per trial at 100, and ten times that at 10,000, since every turn reads all trials; the
views 5 to 20 s, since each trial becomes a row.

Run: ``python benchmarks/scale.py [--sizes N N N] [--storage URL]``
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from hms_search.search.contract import Contract, open_study
from hms_search.search.coordinator import Coordinator
from hms_search.search.events import Event, Finished
from hms_search.search.ledger import Surroundings
from hms_search.search.places import Places
from hms_search.search.racing import Ground
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig
from hms_search.search.trial import EpochEnded, Job, TrialEnded, TrialStarted
from hms_search.search.workers import Worker
from hms_search.tracking import Tracker, open_journaled
from hms_search.training.results import Epoch

MORE = 40
"""Trials that are run at each size."""
FOLDS, EPOCHS = 2, 2
TARGET, VIEW_TARGET_S = 1.5, 5.0
STUDY = {
    "name": "scale",
    "space": {
        "name": "scale",
        "base": {
            "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
            "model": {"name": "timm", "backbone": "test_resnet", "weights": "none", "dropout": 0.0},
            "training": {"epochs": EPOCHS, "batch_size": 8, "optimiser": {"name": "adamw", "lr": 1e-3}},
        },
        "parameters": {
            "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "training.optimiser.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "pipeline.normalise": {
                "type": "categorical",
                "choices": {"instance": {"name": "instance"}, "datawide": {"name": "datawide"}},
            },
        },
    },
    "folds": {"name": "grouped", "n_folds": FOLDS},
    "sampler": {"name": "random"},
    "pruner": {"name": "median"},
    "device": "cpu",
}
DISTRIBUTIONS = {
    "model.dropout": FloatDistribution(0.0, 0.5),
    "training.optimiser.lr": FloatDistribution(1e-4, 1e-2, log=True),
    "pipeline.normalise": CategoricalDistribution(("instance", "datawide")),
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What a trial costs the platform in large studies.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--storage", help="the URL of a database; without it, the embedded one")
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder) / "mlruns", storage_url=options.storage)
        kind = "embedded" if options.storage is None else places.storage.split(":")[0]
        print(f"{kind} storage, {FOLDS} folds x {EPOCHS} epochs, median of {MORE} trials")
        print(f"{'trials':>8}  {'per trial (ms)':>14}")
        costs = {}
        for size in options.sizes:
            costs[size] = 1000 * overhead(places, size)
            print(f"{size:>8}  {costs[size]:>14.1f}", flush=True)
        first, last = costs[options.sizes[0]], costs[options.sizes[-1]]
        figures = [
            figure(f"trial_cost_at_{options.sizes[-1]}_over_{options.sizes[0]}_{kind}", last / first, TARGET, "ratio")
        ]
        for command in ("ls", "show", "report"):
            seconds = view(Path(folder), command, options.storage)
            print(f"{command} of {options.sizes[-1]} trials: {seconds:.1f} s", flush=True)
            figures.append(figure(f"seconds_of_{command}_at_{options.sizes[-1]}_{kind}", seconds, VIEW_TARGET_S, "s"))
    print("\n".join(figures))


def overhead(places: Places, size: int) -> float:
    """Fill the study up to ``size`` trials, run some more, and return the median seconds of one."""
    config = StudyConfig.model_validate({**STUDY, "trials": size + MORE})
    storage = open_storage(places.storage)
    study = open_study(config, Contract("space", "data", "folds", "all", 0), storage)
    fill(study, size)
    tracker = open_journaled(places.tracking_uri, places.artifacts, places.journals("scale"), study="scale")
    parent_id = tracker.start_study(tags={}, texts={})
    patients = tuple(np.zeros(4, dtype=np.int64) for _ in range(FOLDS))
    ground = Ground(patients, tuple(np.ones(4, dtype=bool) for _ in range(FOLDS)))
    around = Surroundings(tracker, parent_id, {}, places.pictures, places.trials("scale"), ground)
    ended: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, Finished):
            ended.append(time.perf_counter())

    coordinator = Coordinator(config, study, around, notify=note)
    coordinator.recover()
    worker = InstantWorker(places, parent_id)
    coordinator.run([worker])
    worker.close()
    close_storage(storage)
    return statistics.median(np.diff(ended).tolist())


def fill(study: optuna.Study, size: int) -> None:
    """Add finished trials as the platform stores them, until there are ``size``."""
    rng = np.random.default_rng(0)
    missing = size - len(study.get_trials(deepcopy=False))
    study.add_trials([stored_trial(rng, number) for number in range(missing)])


def stored_trial(rng: np.random.Generator, number: int) -> FrozenTrial:
    values = {step: float(rng.uniform(0.5, 1.5)) for step in range(FOLDS * EPOCHS)}
    folds = [values[EPOCHS * (fold + 1) - 1] for fold in range(FOLDS)]
    trial = optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        value=float(np.mean(folds)),
        params={
            "model.dropout": float(rng.uniform(0, 0.5)),
            "training.optimiser.lr": float(10 ** rng.uniform(-4, -2)),
            "pipeline.normalise": str(rng.choice(["instance", "datawide"])),
        },
        distributions=DISTRIBUTIONS,
        intermediate_values=values,
        user_attrs={"outcome": "complete", "seconds": 60.0, "folds": folds, "mlflow_run_id": f"{number:032x}"},
    )
    trial.datetime_start = datetime.now(tz=UTC).replace(tzinfo=None) - timedelta(minutes=1)
    return trial


class InstantWorker(Worker):
    """A worker whose trials take no time: a thread that tells MLflow of four epochs and the coordinator the same."""

    def __init__(self, places: Places, parent_id: str) -> None:
        self.slot, self.job, self._run_id = 0, None, ""
        self._connection, theirs = Pipe()
        self._thread = threading.Thread(target=answer, args=(theirs, places, parent_id))
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._connection.send(None)
        self._thread.join()
        self._connection.close()


def answer(connection: Connection, places: Places, parent_id: str) -> None:
    """Run trials until told to stop."""
    tracker = open_journaled(places.tracking_uri, places.artifacts, places.journals("scale"), study="scale")
    rng = np.random.default_rng(1)
    while (job := connection.recv()) is not None:
        connection.send(ran(job, connection, tracker, parent_id, rng))
    connection.close()


def ran(job: Job, connection: Connection, tracker: Tracker, parent_id: str, rng: np.random.Generator) -> TrialEnded:
    """Run a trial without training it."""
    run = tracker.start_run(
        f"trial {job.number}", parent_id=parent_id, params=job.params, tags=job.tags, texts={"config.yaml": "a: 1\n"}
    )
    connection.send(TrialStarted(job.number, run.id))
    folds = []
    for fold in range(FOLDS):
        for number in range(EPOCHS):
            value = float(rng.uniform(0.5, 1.5))
            metrics = {"kl_all": value, "accuracy": 0.5, "loss": value}
            step = fold * EPOCHS + number
            epoch = Epoch(fold, number, EPOCHS, value, value, metrics, 60.0, 1e-3, position=fold, step=step)
            run.log({f"{name}/fold{fold}": one for name, one in metrics.items()}, step=number)
            connection.send(EpochEnded(job.number, epoch))
            if connection.recv() != "continue":
                run.finish("pruned", reason="the search stopped it", metrics={}, files={})
                return TrialEnded(job.number, "pruned", run.id, 60.0)
        folds.append(value)
    mean = float(np.mean(folds))
    run.finish("complete", metrics={"kl_all": mean}, files={})
    return TrialEnded(job.number, "complete", run.id, 60.0, (mean,), metrics={"kl_all": mean}, fold_values=tuple(folds))


def view(folder: Path, command: str, storage: str | None) -> float:
    """Return how long a command takes."""
    arguments = [command, *(["scale"] if command != "ls" else []), *(["--storage", storage] if storage else [])]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hms_search", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def figure(name: str, value: float, target: float, unit: str) -> str:
    """Return a measured number, its target and whether it holds, as JSON."""
    found = {"name": name, "value": round(value, 3), "target": target, "unit": unit, "holds": value <= target}
    return json.dumps(found)


if __name__ == "__main__":
    main(sys.argv[1:])
