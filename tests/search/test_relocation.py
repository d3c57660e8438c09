"""A study in another storage and another MLflow is the same study, however often it was moved and however it broke."""

import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import optuna
import psycopg
import pytest
from optuna.trial import TrialState
from relocatable import YAML, config_of, record_study, recorder
from small_models import write_model
from store_dumps import everything, moved, original_names, runs_of, studies_of

from hms_search.errors import StudyError, TrackingError
from hms_search.search.contract import contract_of, open_study
from hms_search.search.peers import joined
from hms_search.search.places import Places
from hms_search.search.relocation import related_studies, relocate
from hms_search.search.report import all_reports, find_report
from hms_search.search.storage import close_storage, existing_storage, open_storage
from hms_search.servers import child_server
from hms_search.tracking import MlflowTracker, RunReader
from hms_search.tracking.copied_run import Copied
from hms_search.tracking.environment import PRIVATE
from hms_search.tracking.registry import ModelRegistry


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A working directory with a recorded study, which the tests only read."""
    places = Places(root=tmp_path_factory.mktemp("recorded") / "mlruns")
    record_study(places)
    return places


@pytest.fixture(scope="module")
def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """PostgreSQL for studies, and an MLflow server on a database of its own there, which keeps files to itself."""
    folder = tmp_path_factory.mktemp("server")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE moved_studies")
        connection.execute("CREATE DATABASE moved_runs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "server", "--port", port, "--workers", "1"]
    store = postgres_url.replace("/postgres", "/moved_runs").replace("postgresql://", "postgresql+psycopg://")
    places = ["--backend-store-uri", store, "--artifacts-destination", str(folder / "far")]
    address = f"http://127.0.0.1:{port}"
    with child_server("MLflow", [*command, *places], address=address, health="/health", environment=PRIVATE):
        storage = postgres_url.replace("/postgres", "/moved_studies")
        yield Places(root=folder / "mlruns", storage_url=storage, tracking=address)


def test_a_study_comes_back_from_a_server_as_it_went(server: Places, tmp_path: Path) -> None:
    here, back = Places(root=tmp_path / "here"), Places(root=tmp_path / "back")
    record_study(here)
    before = everything(here)
    there = moved(here, server, name="small.round2")
    assert there.studies == ("small", "small.round2")
    assert everything(server) == before
    assert set(original_names(server).values()).isdisjoint(original_names(server))
    assert moved(server, back).runs.copied == there.runs.copied
    assert everything(back) == before
    for again in (moved(here, server), moved(server, back), moved(back, here)):
        assert (again.written, again.runs.copied) == (0, Copied())
    assert (studies_of(here), runs_of(here)) == everything(back) == before


def test_no_old_name_of_a_run_is_left_in_the_copy(recorded: Places, tmp_path: Path) -> None:
    target = Places(root=tmp_path / "mlruns")
    ids = moved(recorded, target).runs.ids
    told = str(studies_of(target)) + str(runs_of(target))
    assert not [old for old, new in ids.items() if old in told and old != new]
    named = set(re.findall(r"[0-9a-f]{32}", str(studies_of(target))))
    assert named <= set(ids.values())
    reader = RunReader(target.tracking_uri)
    for old, new in ids.items():
        assert reader.record(old).id == new
    with pytest.raises(TrackingError, match="not found"):
        reader.record("0" * 32)


def test_a_broken_copy_is_gone_on_with_and_nothing_is_there_twice(recorded: Places, tmp_path: Path) -> None:
    before = everything(recorded)
    target = Places(root=tmp_path / "mlruns")
    steps = 0
    for stop_at in (3, 14, 20, 28, 33):  # of 12 names, 12 runs and 15 trials

        def stop(stop_at: int = stop_at) -> None:
            nonlocal steps
            steps += 1
            if steps >= stop_at:
                raise KeyboardInterrupt

        steps = 0
        with pytest.raises(KeyboardInterrupt):
            moved(recorded, target, after=stop)
        with existing_storage(target.storage) as storage:
            assert "small" not in [report.name for report in all_reports(storage)]
            with pytest.raises(StudyError, match="only partly copied"):
                find_report(storage, "small")
        with pytest.raises(StudyError, match="only partly copied"):
            recorder(config_of(), target)
    moved(recorded, target)
    assert everything(target) == before


def test_a_study_goes_on_there_and_comes_back_with_what_was_added(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    record_study(here)
    moved(here, there)
    with existing_storage(there.storage) as storage:
        study = optuna.load_study(study_name="small.round2", storage=storage)
        (paused,) = [trial for trial in study.trials if "paused_seconds" in trial.user_attrs]
    run_id = paused.user_attrs["mlflow_run_id"]
    tracker = MlflowTracker(there.tracking_uri, there.artifacts, study="small.round2")
    run = tracker.resume_run(run_id, leg=1)
    run.log({"kl_all/fold0": 0.125}, step=9)
    run.finish("complete", metrics={"kl_all": 0.25}, files={"late.parquet": b"late"})
    with existing_storage(there.storage, writes=True) as storage:
        study = optuna.load_study(study_name="small.round2", storage=storage)
        study.tell(paused.number, 0.25)
        study.set_user_attr("hms_search:noise", {"seeds": [1]})
    assert studies_of(there) != studies_of(here)
    with pytest.raises(StudyError, match=r"gone on since they were the same .* copy it from there to here instead"):
        moved(here, there)
    moved(there, here)
    assert (studies_of(here), runs_of(here)) == everything(there)
    with existing_storage(here.storage) as storage:
        trial = optuna.load_study(study_name="small.round2", storage=storage).trials[paused.number]
    assert (trial.state, trial.user_attrs["mlflow_run_id"]) == (TrialState.COMPLETE, paused_name(here, paused.number))
    with existing_storage(here.storage, writes=True) as storage:  # and now on here: the copy there may follow
        optuna.load_study(study_name="small.round2", storage=storage).enqueue_trial({})
    moved(here, there)
    assert (studies_of(here), runs_of(here)) == everything(there)


def paused_name(places: Places, number: int) -> str:
    """The id of a trial's run in a store's second round."""
    client = mlflow.MlflowClient(places.tracking_uri)
    experiment = client.get_experiment_by_name("small.round2")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.trial = '{number}'")
    return str(run.info.run_id)


def test_a_study_that_another_machine_runs_is_not_copied(recorded: Places, server: Places, tmp_path: Path) -> None:
    opened = open_storage(server.storage)
    said = pytest.raises(StudyError, match=r"'small.round2' is being run, perhaps on another machine")
    with joined(opened, "small.round2", tmp_path / "elsewhere", lambda _: None), said:
        moved(recorded, server)
    close_storage(opened)


def test_a_run_that_mlflow_learns_of_late_is_linked_under_its_new_name(tmp_path: Path) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    config = config_of(YAML.replace("rounds: {count: 2, trials: 6, narrow: {freeze: 1}}\n", ""))
    session = recorder(config, here)
    session.trial("complete")
    session.tracker._connected, session.tracker._connect = (
        None,
        lambda: MlflowTracker("http://127.0.0.1:9", tmp_path, study="x"),
    )
    local = session.trial("complete")
    assert local.user_attrs["mlflow_run_id"].startswith("local-")
    ids = moved(here, there).runs.ids
    with existing_storage(there.storage) as storage:
        trial = optuna.load_study(study_name="small", storage=storage).trials[local.number]
    assert trial.user_attrs["mlflow_run_id"] == ids[local.user_attrs["mlflow_run_id"]]
    assert RunReader(there.tracking_uri).record(trial.user_attrs["mlflow_run_id"]).status == "FINISHED"


def test_registered_models_go_along_with_their_names(tmp_path: Path, server: Places) -> None:
    here = Places(root=tmp_path / "here")
    there = Places(root=tmp_path / "there", tracking=server.tracking_uri)
    config = config_of(YAML.replace("name: small\nspace", "name: crowned\nspace"))
    session = recorder(config, here)
    session.trial("complete")
    run_id = session.study.trials[0].user_attrs["mlflow_run_id"]
    registry = ModelRegistry(here.tracking_uri, here.artifacts)
    model = write_model(tmp_path / "model")
    number = registry.register(run_id, model, name="mine", tags={"trial": "0"})
    registry.set_alias("mine", "champion", number)
    registry.register(run_id, model, name="other", tags={})
    done = moved(here, there, name="crowned")
    assert done.runs.versions == 2
    far = ModelRegistry(there.tracking_uri, there.artifacts)
    found = far.find("mine@champion")
    assert (found.run_id, found.tags["trial"]) == (done.runs.ids[run_id], "0")
    assert found.made_by(run_id)
    assert {path.name: path.read_bytes() for path in far.fetch(found).iterdir() if path.is_file()} == {
        path.name: path.read_bytes() for path in model.iterdir() if path.is_file()
    }
    assert moved(here, there, name="crowned").runs.versions == 0
    client = mlflow.MlflowClient(there.tracking_uri)
    client.delete_model_version("mine", str(found.version))  # as if it had been killed before it made the version
    assert moved(here, there, name="crowned").runs.versions == 1
    found = far.find("mine@champion")
    experiment = client.get_experiment_by_name("crowned")
    assert experiment is not None
    logged = client.search_logged_models([experiment.experiment_id])
    assert [(one.name, one.source_run_id) for one in logged] == [("mine", found.run_id), ("other", found.run_id)]
    back = Places(root=tmp_path / "back")
    rival = recorder(config_of(YAML.replace("name: small\nspace", "name: rival\nspace")), back)
    rival.trial("complete")
    taken = ModelRegistry(back.tracking_uri, back.artifacts)
    taken.set_alias(
        "mine",
        "champion",
        taken.register(rival.study.trials[0].user_attrs["mlflow_run_id"], model, name="mine", tags={}),
    )
    said: list[object] = []
    relocate("crowned", there, back, notify=said.append, progress=lambda *_: None)
    assert "mine@champion stays version 1 there" in str(said)
    returned = taken.find("mine/2")
    assert returned.made_by(run_id)
    assert returned.made_by(found.run_id)


def test_the_studies_that_trials_were_carried_from_go_along(tmp_path: Path) -> None:
    here = Places(root=tmp_path / "here")
    record_study(here)
    config = config_of(YAML.replace("name: small\nspace", "name: wider\nspace"))
    with existing_storage(here.storage, writes=True) as storage:
        study = open_study(config, contract_of(config, data="d", folds="f"), storage)
        trial = optuna.load_study(study_name="small.round2", storage=storage).trials[0]
        study.add_trial(trial)
        assert related_studies(storage, "wider") == ("wider", "small")
        assert related_studies(storage, "small") == ("small", "small.round2")
