"""What a worker on another machine finds there, and what it needs: without a cluster."""

import os
import socket
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from synthetic_store import synthetic_store

from hms_search.data.carried import CarriedSamples, StorePlace
from hms_search.data.folds import GroupedFolds, plan_folds
from hms_search.data.store import Store
from hms_search.errors import ConfigError, StudyError, TrackingError
from hms_search.experiment import ExperimentConfig
from hms_search.provenance import versions
from hms_search.search.aims import Wanted
from hms_search.search.executors import RayExecutor
from hms_search.search.ray_cluster import Cluster, joined, refuse_file_elsewhere
from hms_search.search.ray_seat import Home, Seat, session_mark
from hms_search.search.trial import Before, EpochEnded, Job, TrialEnded, TrialStarted
from hms_search.search.workers import WorkerSettings
from hms_search.servers import free_port

CONFIG = {
    "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}, "resize": [32, 48]},
    "model": {"name": "timm", "backbone": "test_resnet", "weights": "none"},
    "training": {
        "epochs": 2,
        "batch_size": 8,
        "optimiser": {"name": "adamw", "lr": 1e-3},
        "scheduler": {"name": "cosine"},
    },
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return synthetic_store(tmp_path_factory.mktemp("seat"), n_patients=8, seed=5)


def settings_with(store: Store, root: Path) -> "partial[WorkerSettings]":
    folds = GroupedFolds(n_folds=2)
    return partial(
        WorkerSettings,
        study="small",
        folds=folds,
        folds_fingerprint=plan_folds(folds, store).fingerprint,
        order="sequential",
        objective="all",
        device="cpu",
        threads=1,
        tracking_uri="none",
        artifacts=root / "artifacts",
        journals=root / "journals" / "small",
        parent_id="",
        work=root / "trials" / "small",
        wanted=Wanted((), (), "all"),
    )


def run(seat: Seat, job: Job) -> tuple[list[EpochEnded], TrialEnded]:
    """Let a seat run a trial to its end."""
    epochs: list[EpochEnded] = []
    message = seat.proceed(job)
    while not isinstance(message, TrialEnded):
        if isinstance(message, EpochEnded):
            epochs.append(message)
            message = seat.proceed("continue")
        else:
            assert isinstance(message, TrialStarted)
            message = seat.proceed()
    return epochs, message


def test_a_paused_trial_begins_anew_where_its_folder_is_not_seen_and_ends_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "of the node"))
    config = ExperimentConfig.model_validate(CONFIG)
    job = Job(0, config, {}, 7, {}, 0)
    with session_mark(tmp_path / "mlruns") as home:
        seeing, blind = Seat(versions()), Seat(versions())
        place = StorePlace.of(store)
        found = seeing.open(settings_with(store, home.mark.parent), place, home, {})
        assert (found.host, found.has_samples, found.shares_files) == (socket.gethostname(), True, True)
        epochs, ended = run(seeing, job)
        unseen = Home(home.host, home.folder, tmp_path / "elsewhere", home.word)
        options = (settings_with(store, home.mark.parent), None, unseen, {"HMS_SEARCH_TEST": "handed over"})
        assert not blind.open(*options).has_samples
        found = blind.open(*options, CarriedSamples.of(store))
        assert (found.has_samples, found.shares_files) == (True, False)
        paused = Job(0, config, {}, 7, {}, 0, before=Before("its run", steps=3, seconds=1.0, leg=1))
        epochs_there, ended_there = run(blind, paused)
    assert os.environ.pop("HMS_SEARCH_TEST") == "handed over"
    assert ended.outcome == ended_there.outcome == "complete"
    assert (ended_there.value, ended_there.fold_values) == (ended.value, ended.fold_values)
    assert [one.epoch.value for one in epochs_there] == [one.epoch.value for one in epochs[3:]]
    assert list((tmp_path / "of the node").rglob("mlruns"))


def test_a_node_with_other_versions_is_refused() -> None:
    with pytest.raises(StudyError, match=r"has torch .* instead of 0\.1.*install the same versions"):
        Seat({**versions(), "torch": "0.1"})


def test_a_folder_is_shared_only_where_the_very_mark_is_read(tmp_path: Path) -> None:
    with session_mark(tmp_path / "mlruns") as home:
        assert home.is_seen()
        assert not Home(home.host, home.folder, home.mark, "another word").is_seen()
    assert not home.is_seen()
    assert not list((tmp_path / "mlruns").iterdir())


@pytest.mark.parametrize(
    ("gpus_there", "asked", "device", "gpus", "sees"),
    [
        (0, None, "auto", 0, "cpu"),
        (4, None, "auto", 1, "auto"),
        (4, None, "cpu", 0, "cpu"),
        (4, 0.5, "cuda:1", 0.5, "cuda"),
    ],
)
def test_a_worker_gets_a_gpu_where_the_cluster_and_the_device_have_one(
    gpus_there: int, asked: float | None, device: str, gpus: float, sees: str
) -> None:
    there = {"CPU": 16.0, "memory": 64e9} | ({"GPU": float(gpus_there)} if gpus_there else {})
    share = Cluster(frozenset(), there).share(RayExecutor(cpus=2, gpus=asked, memory_gb=1), 2, device)
    assert (share.options["num_cpus"], share.options["num_gpus"], share.options["memory"]) == (2, gpus, 2**30)
    assert share.device == sees


def test_a_device_that_no_worker_would_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a GPU for each worker"):
        Cluster(frozenset(), {"CPU": 2.0}).share(RayExecutor(), 1, "cuda")


def test_a_cluster_that_does_not_answer_is_an_error_at_once() -> None:
    executor = RayExecutor(address=f"127.0.0.1:{free_port('127.0.0.1', 0, 'Ray')}")
    with (
        pytest.raises(StudyError, match=r"at 127\.0\.0\.1:\d+ cannot be joined: .*refused; start one with"),
        joined(executor),
    ):
        pytest.fail("nothing listens there")


def test_a_file_of_runs_is_refused_where_others_would_have_to_write_to_it() -> None:
    here = socket.gethostname()
    refuse_file_elsewhere("sqlite:////srv/mlflow.db", {here})
    refuse_file_elsewhere("http://mlflow.example", {here, "node2"})
    with pytest.raises(TrackingError, match="nodes on node2, which cannot write to it; start an MLflow server"):
        refuse_file_elsewhere("sqlite:////srv/mlflow.db", {here, "node2"})


def test_another_server_at_the_address_is_told_from_a_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        executor = RayExecutor(address=f"127.0.0.1:{listener.getsockname()[1]}")

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        server = Thread(target=answer)
        server.start()
        with pytest.raises(StudyError, match="what listens there is no Ray cluster's head"), joined(executor):
            pytest.fail("a web server listens there")
        server.join()


@pytest.mark.slow
def test_a_cluster_of_this_machine_starts_wherever_temporary_files_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "scratch" / ("of a project with a long name " * 3)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    monkeypatch.setenv("TMPDIR", str(deep))
    with joined(RayExecutor()) as cluster:
        assert cluster.resources["CPU"] >= 1
