"""A promotion that is killed again and again ends as if nothing had happened."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from command_line import CommandLine, wait_for

from hms_search.tracking.registry import ModelRegistry


@pytest.mark.slow
def test_a_promotion_killed_at_ten_random_moments_ends_with_the_same_predictions(hms_search: CommandLine) -> None:
    command = ("promote", "small", "--folds", "3", "--epochs", "4", "--trial", "1")
    hms_search("run", "small.yaml", "--data", "recordings", "--trials", "2")
    hms_search(*command, "--name", "undisturbed")
    folder = hms_search.folder
    undisturbed = {path.name: (path / "oof.parquet").read_bytes() for path in (folder / "mlruns" / "models").iterdir()}
    (folder / "mlruns" / "models").rename(folder / "mlruns" / "aside")
    moments = random.Random(20261121)
    for number in range(10):
        process = hms_search.start(*command, "--name", "killed")
        if number < 8:
            _wait_for_epochs(folder, 1 + moments.randrange(2))
            time.sleep(moments.uniform(0, 0.1))
        else:  # after the training: while the models are gathered, registered and judged
            wait_for(lambda: len(_complete(folder)) == 2)
            time.sleep(moments.uniform(0, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    output = hms_search(*command, "--name", "killed")
    assert "version 1 of 'killed'" in output
    found = {path.name: (path / "oof.parquet").read_bytes() for path in (folder / "mlruns" / "models").iterdir()}
    assert found == undisturbed
    assert {run.info.status for run in _promotion_runs(folder)} <= {"FINISHED", "KILLED"}
    assert not list((folder / "mlruns" / "unfinished").iterdir())
    assert [one.version for one in _registry(folder).versions() if one.name == "killed"] == [1]


def _promotion_runs(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'promotion'"))


def _registry(folder: Path) -> ModelRegistry:
    return ModelRegistry(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}", folder / "mlruns" / "artifacts")


def _complete(folder: Path) -> list[Path]:
    return list((folder / "mlruns" / "models").glob("*/manifest.json"))


def _wait_for_epochs(folder: Path, count: int) -> None:
    """Wait until ``count`` more checkpoints were written, or nothing is left to train."""
    before, written = _checkpoints(folder), set[tuple[str, int]]()

    def enough() -> bool:
        written.update(_checkpoints(folder) - before)
        return len(written) >= count or len(_complete(folder)) == 2

    wait_for(enough)


def _checkpoints(folder: Path) -> set[tuple[str, int]]:
    found = set()
    for file in (folder / "mlruns" / "unfinished").glob("*/*/*/*.pt"):
        with suppress(FileNotFoundError):  # replaced meanwhile
            found.add((str(file), file.stat().st_mtime_ns))
    return found
