"""Sessions on several hosts share a study; hosts vanish without a word, and nothing is lost or waits for ever."""

import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from command_line import CommandLine, wait_for
from hosts import Host, network
from optuna.trial import TrialState
from postgres_server import PostgresServer, postgres_cluster, postgres_server
from stored_trials import stored_runs, stored_trials

from hms_search.search.outcomes import origin_of
from hms_search.search.peers import living_sessions, owner_of
from hms_search.search.storage import existing_storage
from hms_search.servers import free_port
from hms_search.tracking.server import mlflow_server

QUICK_BEATS = "from hms_search.search import peers; peers.BEAT_S = 1.0; from hms_search.cli import main; main()"
"""The command, but that sessions wait 10 s for one that does not answer, not 50."""


def session(host: Host, home: Path, *command: str) -> Path:
    """Start a session on a host; return the file that has what it says."""
    home.mkdir()
    output = home / "output.txt"
    environment = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    host.start(sys.executable, "-c", QUICK_BEATS, *command, folder=home, output=output, environment=environment)
    return output


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_host_that_vanishes_is_replaced_and_told_so_when_it_is_back(workplace: Path, recordings: Path) -> None:
    trials = 48
    with (
        network(2) as (here, (lost, other)),
        postgres_server(here) as database,
        mlflow_server(
            f"sqlite:///{workplace}/server.db", workplace / "server", host=here, port=free_port(here, 0, "MLflow")
        ) as server,
    ):
        arguments = ("--storage", database.url, "--tracking-uri", server.address)
        settings = ("--set", "space.base.training.epochs=6", "--trials", str(trials), "--workers", "2")
        yaml = str(workplace / "small.yaml")
        first = session(lost, workplace / "lost", "run", yaml, "--data", str(recordings), *settings, *arguments)
        wait_for(lambda: n_sessions(database.url) == 1, timeout_s=120)
        second = session(other, workplace / "other", "worker", "small", *arguments)
        wait_for(lambda: len(owners(database.url)) == 2, timeout_s=120)
        lost.pull_cable()
        assert other.processes[0].wait(timeout=280) == 0, second.read_text()
        lost.plug_cable()
        assert lost.processes[0].wait(timeout=60) == 2, first.read_text()
        found = stored_trials(database.url, "small")
        runs = stored_runs(server.address, "small")
    found_out = ("took this one for dead", "ended by another one", "written by two sessions at once")
    assert any(text in first.read_text() for text in found_out)
    ended = [trial for trial in found if trial.user_attrs.get("outcome") != "interrupted"]
    assert [trial.state for trial in ended] == [TrialState.COMPLETE] * trials
    assert max(Counter(origin_of(trial) for trial in ended).values()) == 1
    assert len(found) > len(ended), "no trial was under way on the host that vanished"
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def n_sessions(url: str) -> int:
    with existing_storage(url) as storage:
        return living_sessions(storage, "small")


def owners(url: str) -> set[str]:
    """Return the sessions that have run trials."""
    return {owner_of(trial) for trial in stored_trials(url, "small")} - {""}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_database_host_that_loses_its_power_in_mid_statement_is_not_waited_for_for_ever(
    hms_search: CommandLine,
) -> None:
    with network(1) as (_, (host,)), postgres_cluster(host.address) as database:
        switch_on(host, database)
        arguments = ("--data", "recordings", "--set", "space.base.training.epochs=6", "--trials", "4")
        process = hms_search.start("run", "small.yaml", *arguments, "--storage", database.url)
        wait_for(lambda: len(owners(database.url)) == 1, timeout_s=120)
        with closing(psycopg.connect(database.url)) as held:  # without committing
            held.execute("SELECT * FROM hms_search_turns FOR UPDATE")
            wait_for(lambda: n_waiting(database.url) > 0, timeout_s=120)
            host.lose_power()
        switch_on(host, database)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert [trial.state for trial in stored_trials(database.url, "small")] == [TrialState.COMPLETE] * 4, output
    assert "the database server is away" in output


def switch_on(host: Host, database: PostgresServer) -> None:
    """Start a database server on its host, and wait until it answers."""
    command = (str(database.binaries / "postgres"), "-D", str(database.cluster), *database.options.split())
    host.start("runuser", "-u", str(database.user), "--", *command, folder=Path("/"), output=database.cluster / "log")

    def answers() -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(database.url, connect_timeout=2):
            return True
        return False

    wait_for(answers, timeout_s=60)


def n_waiting(url: str) -> int:
    """Return how many connections wait for a lock."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()
    return int(found[0]) if found else 0
