import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from postgres_server import PostgresServer, postgres_binaries, postgres_server

from hms_search.errors import StudyError
from hms_search.search.patient_storage import PatientStorage, not_waiting_once, patient_storage
from hms_search.search.storage import close_storage, open_storage

# psycopg complains of connections that their server has cut off and nobody can close any more
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*BaseConnection:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    postgres_binaries()
    with postgres_server() as running:
        yield running


def test_a_file_has_no_server_to_wait_for(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    assert patient_storage(storage, print) is storage
    close_storage(storage)


@pytest.mark.slow
def test_a_search_goes_on_over_restarts_of_its_server_and_nothing_is_lost(server: PostgresServer) -> None:
    said: list[str] = []
    opened = open_storage(server.url)
    storage = patient_storage(opened, said.append)
    study = optuna.create_study(study_name="patient", storage=storage)
    ended = False

    def restart() -> None:
        for _ in range(3):
            time.sleep(0.4)
            server.stop()
            time.sleep(0.4)
            server.start()
        nonlocal ended
        ended = True

    restarting = Thread(target=restart)
    restarting.start()
    told: dict[int, float] = {}
    while not ended or len(told) < 20:
        trial = study.ask({"x": FloatDistribution(0, 1)})
        trial.set_user_attr("kept", trial.number)
        trial.report(1.0, 0)
        study.tell(trial, trial.params["x"])
        told[trial.number] = trial.params["x"]
    restarting.join()
    stored = {trial.number: trial for trial in study.get_trials()}
    for number, value in told.items():
        trial = stored[number]
        assert (trial.state, trial.value, trial.user_attrs) == (TrialState.COMPLETE, value, {"kept": number})
        assert trial.intermediate_values == {0: 1.0}
    strays = [trial for trial in stored.values() if trial.number not in told]
    assert {trial.state for trial in strays} <= {TrialState.RUNNING}
    assert len(strays) <= 3, "at most one for each time that a connection broke"
    assert 1 <= len(said) <= 3 * len(told)
    assert "the database server is away" in said[0]
    close_storage(opened)


@pytest.mark.slow
def test_a_server_that_stays_away_ends_in_one_line_that_says_how_to_go_on(server: PostgresServer) -> None:
    opened = open_storage(server.url)
    storage = PatientStorage(opened, lambda _: None, patience_s=0.5)
    study = optuna.create_study(study_name="gone", storage=storage)
    server.stop()
    try:
        with pytest.raises(StudyError, match=r"away for 0 min: .*Connection refused.* the same command goes on") as end:
            study.ask()
        assert "\n" not in str(end.value)
    finally:
        server.start()
    study.ask()
    with pytest.raises(KeyError):  # what is no outage is not waited for
        storage.get_trial(10**6)
    close_storage(opened)


def test_who_is_to_stop_waits_for_no_server_but_asks_twice(server: PostgresServer) -> None:
    opened = open_storage(server.url)
    storage = patient_storage(opened, lambda _: None)
    study = optuna.create_study(study_name="stopped", storage=storage)
    server.stop()
    server.start()
    with not_waiting_once(lambda: True):
        study.ask()  # only its connection was broken
    server.stop()
    try:
        with not_waiting_once(lambda: True), pytest.raises(StudyError, match=r"stopped while .*same command goes on"):
            study.ask()
    finally:
        server.start()
    study.ask()
    close_storage(opened)
