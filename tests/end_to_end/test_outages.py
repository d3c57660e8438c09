"""A study whose database restarts and whose MLflow server dies: it finishes by itself, and nothing is missing."""

import os
import shutil
import signal
import time
from threading import Thread

import pytest
from command_line import CommandLine, interrupt, wait_for
from optuna.trial import TrialState
from postgres_server import postgres_server
from stored_trials import stored_runs, stored_trials

from hms_search.search.patient_storage import PatientStorage, insist
from hms_search.servers import free_port
from hms_search.tracking import MlflowTracker, RunReader
from hms_search.tracking.journal import RunJournal
from hms_search.tracking.server import mlflow_server

EPOCHS, TRIALS = 20, 2


def steps(url: str) -> int:
    return sum(len(trial.intermediate_values) for trial in stored_trials(url, "small"))


@pytest.mark.slow
def test_a_study_outlives_restarts_of_its_database_and_the_death_of_its_mlflow_server(
    hms_search: CommandLine,
) -> None:
    folder, host, port = hms_search.folder, "127.0.0.1", free_port("127.0.0.1", 0, "MLflow")
    store, artifacts, uri = f"sqlite:///{folder}/server.db", folder / "server", f"http://127.0.0.1:{port}"
    with postgres_server() as database:
        arguments = ("--data", "recordings", "--set", f"space.base.training.epochs={EPOCHS}", "--trials", str(TRIALS))
        with mlflow_server(store, artifacts, host=host, port=port) as server:
            process = hms_search.start(
                "run", "small.yaml", *arguments, "--storage", database.url, "--tracking-uri", uri
            )
            wait_for(lambda: steps(database.url) >= 2, timeout_s=120)
            os.killpg(server.pid, signal.SIGKILL)
        for down_s in (6, 8, 1):  # MLflow is told again after 5 s, and has failed after 7 more
            before = steps(database.url)
            database.stop()
            time.sleep(down_s)
            database.start()
            wait_for(lambda before=before: steps(database.url) > before, timeout_s=120)  # type: ignore[misc]
        assert process.poll() is None, "over before MLflow came back"
        with mlflow_server(store, artifacts, host=host, port=port):
            output, _ = process.communicate(timeout=280)
            assert process.returncode == 0, output
            trials = stored_trials(database.url, "small")
            assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS, output
            reader = RunReader(uri)
            for trial in trials:
                record = reader.record(trial.user_attrs["mlflow_run_id"])
                assert (record.status, record.tags["state"]) == ("FINISHED", "complete")
                told = [reader.curve(record.id, f"kl_all/fold{fold}") for fold in range(2)]
                values = [value for _, value in sorted(trial.intermediate_values.items())]
                assert [value for fold in told for _, value in fold] == values
                assert len(reader.file(record.id, "oof.parquet")) > 0
            runs = stored_runs(uri, "small")
            assert (len(runs), {run.info.status for run in runs}) == (TRIALS + 1, {"FINISHED"})
    assert "the database server is away" in output
    assert "metrics are kept" in output
    assert not any((folder / "mlruns" / "journals" / "small").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_session_can_be_stopped_while_its_database_is_away_and_goes_on_later(
    hms_search: CommandLine, how: signal.Signals
) -> None:
    arguments = ("run", "small.yaml", "--data", "recordings", "--trials", "1", "--tracking-uri", "none")
    with postgres_server() as database:
        arguments = (*arguments, "--set", "space.base.training.epochs=40", "--storage", database.url)
        process = hms_search.start(*arguments)
        wait_for(lambda: steps(database.url) >= 2, timeout_s=120)
        database.stop()
        try:
            assert process.stdout is not None
            assert any("the database server is away" in line for line in process.stdout)
            interrupt(process) if how == signal.SIGINT else process.send_signal(how)
            output, _ = process.communicate(timeout=100)  # it waits for 900 s
        finally:
            database.start()
        assert process.returncode == 2, output
        assert "error: stopped while the database server was away" in output
        assert "Traceback" not in output
        output = hms_search(*arguments)
        assert "left running by a session that died" in output
        states = [trial.state for trial in stored_trials(database.url, "small")]
        assert states == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.slow
def test_a_session_whose_database_stays_away_ends_in_one_line_and_goes_on_later(
    hms_search: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patient in (insist, PatientStorage.__init__):
        monkeypatch.setitem(patient.__kwdefaults__, "patience_s", 3.0)
    arguments = ("run", "small.yaml", "--data", "recordings", "--trials", "1", "--tracking-uri", "none")
    with postgres_server() as database:
        url = database.url.replace("hms@", "hms:geheim@")
        arguments = (*arguments, "--set", "space.base.training.epochs=5", "--storage", url)

        def stop_in_a_trial() -> None:
            wait_for(lambda: any((hms_search.folder / "mlruns" / "trials").rglob("progress.pt")), timeout_s=120)
            database.stop()

        stopping = Thread(target=stop_in_a_trial)
        stopping.start()
        try:
            output = hms_search(*arguments, code=2)
        finally:
            stopping.join()
            database.start()
        assert output.count("error: ") == 1
        assert "error: the database server was away for 0 min: " in output
        assert "Connection refused" in output
        assert "when it answers again, the same command goes on" in output
        assert "Traceback" not in output
        assert "geheim" not in output
        assert "left running by a session that died" in hms_search(*arguments)
        states = [trial.state for trial in stored_trials(database.url, "small")]
        assert states == [TrialState.FAIL, TrialState.COMPLETE]


def test_sync_sends_what_an_outage_left_and_may_be_repeated(hms_search: CommandLine) -> None:
    assert "nothing waits for MLflow" in hms_search("sync")
    hms_search("run", "small.yaml", "--data", "recordings", "--trials", "1")
    journal = RunJournal(hms_search.folder / "mlruns" / "journals" / "small" / "k")
    start = {"name": "trial 7", "parent_id": None, "params": {}, "tags": {"trial": "7"}, "kind": "trial", "key": "k"}
    journal.append("start", start)
    for step in range(3):
        journal.append("log", {"metrics": {"kl": 1.0 - step}, "step": step})
    journal.append("finish", {"outcome": "complete", "reason": "", "metrics": {}})
    output = hms_search("sync")
    assert "small: 1 sent, 0 left" in output
    assert "nothing of small waits for MLflow" in hms_search("sync", "small")
    reader = RunReader(f"sqlite:///{hms_search.folder}/mlruns/mlflow.db")
    assert reader.curve("local-k", "kl") == ((0, 1.0), (1, 0.0), (2, -1.0))
    journal.append("start", start)
    (journal.folder / "journal.jsonl").write_bytes(b"{\n")
    assert "is damaged; mend it, or remove" in hms_search("sync", code=2)


def test_a_run_that_began_on_a_machine_that_is_gone_keeps_no_other_one_open(hms_search: CommandLine) -> None:
    arguments = ("run", "small.yaml", "--data", "recordings", "--trials", "1")
    hms_search(*arguments)
    mlruns = hms_search.folder / "mlruns"
    uri = f"sqlite:///{mlruns}/mlflow.db"
    tracker = MlflowTracker(uri, mlruns / "artifacts", study="small")
    left_open = tracker.start_run("trial 0", parent_id=None, params={}, tags={"trial": "0"}, texts={})
    journal = RunJournal(mlruns / "journals" / "small" / "k")
    content = {"outcome": "interrupted", "reason": "its session died", "metrics": {}}
    journal.append("finish", content, known_as="local-" + "f" * 32)
    assert "remove mlruns/journals/small/k" in " ".join(hms_search(*arguments).split())
    assert RunReader(uri).record(left_open.id).status == "FINISHED"
    assert "remove mlruns/journals/small/k" in hms_search("sync", code=2)
    shutil.rmtree(journal.folder)
    assert "nothing waits for MLflow" in hms_search("sync")
