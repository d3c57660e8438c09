"""Tracking: one conversation, held with MLflow and with the tracker in memory, and what each must know after it."""

import csv
import math
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as StoredRun

from hms_search.errors import TrackingError
from hms_search.tracking import MemoryTracker, MlflowTracker, NullTracker, Outcome, Tracker, open_tracker

PNG = b"\x89PNG not really"
STATUS: Mapping[Outcome, str] = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


@dataclass(frozen=True)
class Local:
    """A tracking store in a folder."""

    uri: str
    artifacts: Path

    def tracker(self, study: str = "effnet") -> MlflowTracker:
        return MlflowTracker(self.uri, self.artifacts, study=study)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri)

    def runs(self, study: str = "effnet") -> list[StoredRun]:
        experiment = self.client.get_experiment_by_name(study)
        assert experiment is not None
        return list(self.client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    folder = tmp_path_factory.mktemp("mlruns")
    return Local(f"sqlite:///{folder}/new/mlflow.db", folder / "new" / "artifacts")


def hold_conversation(tracker: Tracker) -> tuple[str, list[str]]:
    """A study with one trial per outcome; return the id of its run and those of the trials."""
    parent_id = tracker.start_study(tags={"study": "effnet"}, texts={"study.yaml": "name: effnet\n"})
    ids = []
    for number, outcome in enumerate(STATUS):
        run = tracker.start_run(
            f"trial {number}",
            parent_id=parent_id,
            params={"training.optimiser.lr": 1e-3, "training.scheduler": "cosine"},
            tags={"study": "effnet", "trial": str(number), "git_commit": "abc"},
            texts={"config.yaml": "model: {}\n"},
        )
        for fold in range(2):
            for epoch in range(2):
                run.log({f"kl_all/fold{fold}": 1.0 / (1 + epoch) + fold, "lr/fold0": 1e-3}, step=epoch)
        run.finish(outcome, reason=f"why {outcome}", metrics={"kl_all": 0.5}, files={"learning_curve.png": PNG})
        ids.append(run.id)
    table = [{"trial": n, "value": 1.0 - 0.1 * n, "run_id": run_id} for n, run_id in enumerate(ids)]
    tracker.finish_study(parent_id, metrics={"best_value": 0.7}, table=table)
    return parent_id, ids


def test_a_study_is_an_experiment_with_a_parent_run_and_a_child_per_trial(local: Local) -> None:
    parent_id, ids = hold_conversation(local.tracker())
    parent, *children = local.runs()
    assert parent.info.run_id == parent_id
    assert [child.info.run_id for child in children] == ids
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent_id}
    assert [child.info.status for child in children] == list(STATUS.values())
    assert [child.data.tags["state"] for child in children] == list(STATUS)
    assert [child.data.tags["reason"] for child in children] == [f"why {outcome}" for outcome in STATUS]
    assert [child.data.tags["trial"] for child in children] == ["0", "1", "2", "3"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["best_value"] == 0.7


def test_a_paused_trial_waits_as_scheduled_and_goes_on_in_the_same_run(local: Local) -> None:
    tracker = local.tracker("paused")
    run = tracker.start_run("trial 0", parent_id=tracker.start_study(tags={}, texts={}), params={}, tags={}, texts={})
    run.log({"kl_all/fold0": 1.0}, step=0)
    run.pause()
    waiting = local.client.get_run(run.id)
    assert (waiting.info.status, waiting.data.tags["state"]) == ("SCHEDULED", "paused")
    assert tracker.open_run(run.id) is None
    again = local.tracker("paused").resume_run(run.id, leg=1)
    assert local.client.get_run(run.id).info.status == "RUNNING"
    again.log({"kl_all/fold0": 0.5}, step=1)
    again.finish("complete", metrics={}, files={})
    ended = local.client.get_run(run.id)
    assert (ended.info.status, ended.data.tags["state"]) == ("FINISHED", "complete")
    assert [point.value for point in local.client.get_metric_history(run.id, "kl_all/fold0")] == [1.0, 0.5]


def test_a_trial_keeps_its_parameters_curves_metrics_and_files(local: Local) -> None:
    _, ids = hold_conversation(local.tracker("kept"))
    run, client = local.client.get_run(ids[0]), local.client
    assert run.data.params == {"training.optimiser.lr": "0.001", "training.scheduler": "cosine"}
    assert [(point.step, point.value) for point in client.get_metric_history(ids[0], "kl_all/fold1")] == [
        (0, 2.0),
        (1, 1.5),
    ]
    assert run.data.metrics["kl_all"] == 0.5
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    files = {item.path for item in client.list_artifacts(ids[0])}
    assert files == {"config.yaml", "learning_curve.png"}
    assert (local.artifacts / "kept" / ids[0] / "artifacts" / "learning_curve.png").read_bytes() == PNG


def test_the_study_run_links_every_trial_in_a_table_and_the_best_in_its_description(local: Local) -> None:
    parent_id, ids = hold_conversation(local.tracker("table"))
    with (local.artifacts / "table" / parent_id / "artifacts" / "trials.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["run_id"] for row in rows] == ids
    note = local.client.get_run(parent_id).data.tags["mlflow.note.content"].splitlines()
    assert f"/runs/{ids[3]}" in note[2]
    assert f"/runs/{ids[0]}" in note[5]


def test_a_resumed_study_goes_on_under_its_first_run(local: Local) -> None:
    first = local.tracker("resumed").start_study(tags={"version_torch": "1"}, texts={})
    again = local.tracker("resumed").start_study(tags={"version_torch": "2"}, texts={})
    assert again == first
    run = local.client.get_run(first)
    assert run.info.status == "RUNNING"
    assert run.data.tags["version_torch"] == "2"


@pytest.mark.parametrize(("failed", "status", "state"), [(True, "FAILED", "failed"), (False, "KILLED", "interrupted")])
def test_the_run_of_a_killed_process_is_ended_by_another_tracker(
    local: Local, failed: bool, status: str, state: str
) -> None:
    tracker = local.tracker("orphan")
    run = tracker.start_run("trial 0", parent_id=tracker.start_study(tags={}, texts={}), params={}, tags={}, texts={})
    local.tracker("orphan").end_orphan(run.id, "its process was killed", failed=failed, leg=1)
    ended = local.client.get_run(run.id)
    assert (ended.info.status, ended.data.tags["state"]) == (status, state)
    assert ended.data.tags["reason"] == "its process was killed"
    assert ended.info.end_time is not None


def test_a_run_that_its_dead_process_still_completes_stays_interrupted(local: Local) -> None:
    tracker = local.tracker("late")
    parent_id = tracker.start_study(tags={}, texts={})
    runs = [
        tracker.start_run(f"trial {number}", parent_id=parent_id, params={}, tags={"trial": str(number)}, texts={})
        for number in range(3)
    ]
    tracker.end_orphan(runs[0].id, "its session died", failed=False, leg=1)
    runs[0].finish("complete", metrics={"kl_all": 0.5}, files={})
    tracker.end_orphans({"kind": ["trial"], "trial": ["0", "1"]}, "its process died")
    found = [local.client.get_run(run.id) for run in runs]
    assert [run.info.status for run in found] == ["KILLED", "KILLED", "RUNNING"]
    assert [run.data.tags.get("reason") for run in found] == ["its session died", "its process died", None]


def test_metrics_that_are_not_finite_are_kept_as_nan_and_break_nothing(local: Local) -> None:
    tracker = local.tracker("nan")
    run = tracker.start_run("trial 0", parent_id=tracker.start_study(tags={}, texts={}), params={}, tags={}, texts={})
    run.log({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0}, step=0)
    run.finish("failed", reason="diverged", metrics={"kl_all": math.nan}, files={})
    metrics = local.client.get_run(run.id).data.metrics
    assert metrics.pop("d") == 1.0
    assert len(metrics) == 4
    assert all(math.isnan(value) for value in metrics.values())


def test_very_long_reasons_and_parameters_are_cut_not_refused(local: Local) -> None:
    tracker = local.tracker("long")
    parent_id = tracker.start_study(tags={}, texts={})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={"p": "x" * 9000}, tags={}, texts={})
    run.finish("failed", reason="y" * 20_000, metrics={}, files={})
    stored = local.client.get_run(run.id)
    assert set(stored.data.tags["reason"]) == {"y"}
    assert set(stored.data.params["p"]) == {"x"}


def test_a_study_of_many_parameters_or_strange_name_is_tracked(local: Local) -> None:
    tracker = local.tracker("wide/../study 1")
    parent_id = tracker.start_study(tags={}, texts={"study.yaml": "x"})
    run = tracker.start_run("t", parent_id=parent_id, params={f"p{n}": n for n in range(150)}, tags={}, texts={})
    assert len(local.client.get_run(run.id).data.params) == 150
    assert [folder.name for folder in local.artifacts.iterdir() if "wide" in folder.name] == ["wide%2F..%2Fstudy%201"]


def test_a_deleted_experiment_of_the_same_name_is_refused_with_the_command_that_restores_it(local: Local) -> None:
    local.tracker("gone").start_study(tags={}, texts={})
    experiment = local.client.get_experiment_by_name("gone")
    assert experiment is not None
    local.client.delete_experiment(experiment.experiment_id)
    with pytest.raises(TrackingError, match=f"restore --experiment-id {experiment.experiment_id}"):
        local.tracker("gone").start_study(tags={}, texts={})


def test_a_local_store_is_in_wal_mode(local: Local) -> None:
    local.tracker()
    plain = sqlite3.connect(local.uri.removeprefix("sqlite:///"))
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mlruns", "sqlite:///mlruns/mlflow.db"),
        ("file:///somewhere/mlruns", "sqlite:///mlruns/mlflow.db"),
        ("sqlite:////proc/nowhere/mlflow.db", "name another --tracking-uri"),
    ],
)
def test_a_store_that_cannot_be_opened_says_what_to_write_in_one_line(uri: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError) as raised:
        open_tracker(uri, tmp_path, study="effnet")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_that_does_not_answer_is_reported_at_once(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    started = time.perf_counter()
    with pytest.raises(TrackingError, match="check that the server runs"):
        open_tracker(f"http://user:secret@127.0.0.1:{port}", tmp_path, study="effnet")
    assert time.perf_counter() - started < 5


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("a diary\n" * 200)
    before = path.read_bytes()
    with pytest.raises(TrackingError, match="not a database"):
        open_tracker(f"sqlite:///{path}", tmp_path, study="effnet")
    assert path.read_bytes() == before


def test_the_tracker_in_memory_remembers_the_same_conversation() -> None:
    tracker = MemoryTracker()
    parent_id, ids = hold_conversation(tracker)
    assert [tracker.runs[run_id].outcome for run_id in ids] == list(STATUS)
    assert [row["run_id"] for row in tracker.table] == ids
    assert tracker.runs[ids[0]].epochs[1] == (1, {"kl_all/fold0": 0.5, "lr/fold0": 1e-3})
    assert tracker.start_study(tags={}, texts={}) == parent_id


def test_no_tracking_takes_the_same_conversation_and_writes_nothing(tmp_path: Path) -> None:
    tracker = open_tracker("none", tmp_path, study="effnet")
    assert isinstance(tracker, NullTracker)
    hold_conversation(tracker)
    assert list(tmp_path.iterdir()) == []


def test_mlflow_is_imported_without_telemetry_pickle_or_optuna() -> None:
    check = """
import os, sys
import hms_search.tracking.mlflow_runs
from mlflow.telemetry.utils import is_telemetry_disabled
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION, MLFLOW_SERVER_ENABLE_JOB_EXECUTION
assert is_telemetry_disabled()
assert not MLFLOW_ALLOW_PICKLE_DESERIALIZATION.get()
assert not MLFLOW_SERVER_ENABLE_JOB_EXECUTION.get()
assert "optuna" not in sys.modules
"""
    clean = {"PATH": "/usr/bin:/bin", "CI": ""}
    assert subprocess.run([sys.executable, "-c", check], env=clean, check=False).returncode == 0
