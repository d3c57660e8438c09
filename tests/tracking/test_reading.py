"""Reading runs back, from a file and from a server: what was tracked is what is read."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hms_search.errors import TrackingError
from hms_search.tracking import MlflowTracker, RunReader
from hms_search.tracking.server import mlflow_server

OOF = bytes(range(256)) * 40


@pytest.fixture(scope="module", params=["file", "server"])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tracking")
    database = f"sqlite:///{folder}/mlflow.db"
    with ExitStack() as stack:
        if request.param == "file":
            yield database
        else:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            server = stack.enter_context(mlflow_server(database, folder / "files", host="127.0.0.1", port=port))
            yield server.address


@pytest.fixture(scope="module")
def trial(uri: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a pruned trial's run, in a study called effnet."""
    tracker = MlflowTracker(uri, tmp_path_factory.mktemp("artifacts"), study="effnet")
    parent_id = tracker.start_study(tags={"git_commit": "abc"}, texts={"study.yaml": "name: effnet\n"})
    run = tracker.start_run("trial 0", parent_id=parent_id, params={"lr": 1e-3}, tags={"trial": "0"}, texts={})
    for step, value in enumerate((0.9, 0.7)):
        run.log({"kl_all/fold0": value}, step=step)
    run.finish("pruned", reason="too slow", metrics={"kl_all": 0.5}, files={"oof.parquet": OOF})
    tracker.finish_study(parent_id, metrics={"best_value": 0.5}, table=[])
    return run.id


def test_a_run_is_read_with_its_parameters_tags_metrics_and_times(uri: str, trial: str) -> None:
    record = RunReader(uri).record(trial)
    assert (record.id, record.name, record.status) == (trial, "trial 0", "KILLED")
    assert record.params == {"lr": "0.001"}
    assert record.tags["state"] == "pruned"
    assert record.metrics == {"kl_all": 0.5, "kl_all/fold0": 0.7}
    assert record.started is not None
    assert record.ended is not None
    assert timedelta(0) <= record.ended - record.started < timedelta(minutes=1)
    assert abs(datetime.now(UTC) - record.ended) < timedelta(minutes=5)


def test_curves_and_files_are_read_as_they_were_logged(uri: str, trial: str) -> None:
    reader = RunReader(uri)
    assert reader.curve(trial, "kl_all/fold0") == ((0, 0.9), (1, 0.7))
    assert reader.curve(trial, "kl_all/fold1") == ()
    assert reader.file(trial, "oof.parquet") == OOF


def test_the_study_itself_is_found_and_takes_files_after_its_end(uri: str, trial: str) -> None:
    reader = RunReader(uri)
    study = reader.study_run("effnet")
    assert (study.name, study.status, study.tags["git_commit"]) == ("study effnet", "FINISHED", "abc")
    assert reader.record(trial).tags["mlflow.parentRunId"] == study.id
    tracker = MlflowTracker(uri, Path(), study="effnet")
    for content in (b"first", b"second"):
        tracker.add(tracker.study_run(), metrics={}, files={"report.md": content})
    assert reader.file(study.id, "report.md") == b"second"
    assert reader.study_run("effnet").status == "FINISHED"


def test_what_is_not_there_is_named_in_one_line(uri: str, trial: str, capfd: pytest.CaptureFixture[str]) -> None:
    reader = RunReader(uri)
    for wrong, words in (
        (lambda: reader.file(trial, "off.parquet"), f"run {trial} keeps no file 'off.parquet'"),
        (lambda: reader.file(trial, "../../secret"), "keeps no file"),
        (lambda: reader.file("f" * 32, "oof.parquet"), f"Run with id={'f' * 32} not found"),
        (lambda: reader.record(""), "run_id"),
        (lambda: reader.study_run("unknown"), "no run of a study 'unknown'"),
    ):
        with pytest.raises(TrackingError, match=words) as raised:
            wrong()
        assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_reading_makes_no_store_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="there is no file"):
        RunReader(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert list(tmp_path.iterdir()) == []
