"""The storage: claims of several processes, the mode of the SQLite file, and errors a user can mend."""

import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from sqlalchemy.engine import make_url

from hms_search.errors import StudyError
from hms_search.search.storage import close_storage, open_existing_storage, open_storage
from hms_search.search.workers import warm_up


@contextmanager
def opened(url: str, **options: bool) -> Iterator[optuna.storages.RDBStorage]:
    """The storage, its connections closed at the end."""
    storage = open_storage(url, **options)
    try:
        yield storage  # type: ignore[misc] # the tests know which
    finally:
        close_storage(storage)


PROCESSES = multiprocessing.get_context("forkserver")


def _claim_all(url: str, start: Barrier, claims: Connection) -> None:
    """Run queued trials until none is left, and between them some of a study of one's own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url)
    queue = optuna.load_study(study_name="queue", storage=storage)
    own = optuna.create_study(study_name=f"own {os.getpid()}", storage=storage)
    start.wait(timeout=60)
    found = []
    while "queued" in (trial := queue.ask()).user_attrs:
        found.append(trial.suggest_int("x", 0, 10_000))
        queue.tell(trial, float(found[-1]))
        mine = own.ask()
        for step in range(3):
            mine.report(0.1 * step, step)
        mine.set_user_attr("note", "n" * 500)
        own.tell(mine, mine.suggest_float("y", 0.0, 1.0))
    claims.send(found)
    close_storage(storage)


def _assert_each_claimed_once(url: str, *, n_processes: int, n_queued: int) -> None:
    """Queue trials, let processes that start together ask until the queue is empty, and compare."""
    with opened(url) as storage:
        study = optuna.create_study(study_name="queue", storage=storage)
        for x in range(n_queued):
            study.enqueue_trial({"x": x}, user_attrs={"queued": True})
    warm_up()
    start, pipes = PROCESSES.Barrier(n_processes), [PROCESSES.Pipe() for _ in range(n_processes)]
    askers = [PROCESSES.Process(target=_claim_all, args=(url, start, theirs)) for _, theirs in pipes]
    for asker in askers:
        asker.start()
    claims = [ours.recv() if ours.poll(120) else None for ours, _ in pipes]
    for asker in askers:
        asker.join(timeout=60)
    assert [asker.exitcode for asker in askers] == [0] * n_processes
    assert sorted(x for found in claims if found is not None for x in found) == list(range(n_queued))
    with opened(url) as storage:
        own = [one for one in optuna.get_all_study_names(storage) if one.startswith("own")]
        trials = [trial for name in own for trial in optuna.load_study(study_name=name, storage=storage).trials]
        assert len(own) == n_processes
        assert len(trials) == n_queued
        assert all(trial.value == trial.params["y"] and len(trial.intermediate_values) == 3 for trial in trials)


def test_processes_claim_each_trial_of_a_journal_once(tmp_path: Path) -> None:
    _assert_each_claimed_once(f"journal:///{tmp_path}/study.journal", n_processes=4, n_queued=20)


def test_sixteen_processes_share_the_embedded_store_and_lose_nothing(tmp_path: Path) -> None:
    _assert_each_claimed_once(f"sqlite:///{tmp_path}/optuna.db", n_processes=16, n_queued=80)


def test_a_reader_inside_a_transaction_keeps_other_writers_out(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/optuna.db") as storage, storage.engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM studies").fetchall()
        other = sqlite3.connect(tmp_path / "optuna.db", timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_storage_opened_for_reading_keeps_no_writer_out(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/optuna.db", writes=False) as storage, storage.engine.connect() as reader:
        reader.exec_driver_sql("SELECT * FROM studies").fetchall()
        other = sqlite3.connect(tmp_path / "optuna.db", timeout=0)
        other.execute("BEGIN IMMEDIATE")
        other.close()


def test_a_sqlite_storage_is_in_wal_mode_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "optuna.db"
    with opened(f"sqlite:///{path}") as storage, storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000
    plain = sqlite3.connect(path)
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


def _assert_all_can_open(url: str) -> None:
    """Let processes open a storage that is not there yet."""
    warm_up()
    openers = [PROCESSES.Process(target=open_storage, args=(url,)) for _ in range(6)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(timeout=60)
    assert [opener.exitcode for opener in openers] == [0] * 6


def test_processes_that_make_the_same_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/optuna.db"
    _assert_all_can_open(url)
    with sqlite3.connect(tmp_path / "new" / "optuna.db") as plain:
        assert plain.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    plain.close()


def test_trials_are_there_after_the_storage_is_opened_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    with opened(url) as storage:
        study = optuna.create_study(study_name="kept", storage=storage)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with opened(url) as storage:
        again = optuna.load_study(study_name="kept", storage=storage)
        assert [trial.values for trial in again.trials] == [trial.values for trial in study.trials]


def test_a_storage_that_is_only_looked_at_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="hms-search run"):
        open_existing_storage(f"sqlite:///{tmp_path}/new/optuna.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mlruns/optuna.db", "sqlite:///mlruns/optuna.db"),
        ("nosuchthing://host/db", "sqlite:///mlruns/optuna.db"),
        ("mssql+pymssql://user:secret@host/db", "driver"),
        ("sqlite:////proc/nowhere/optuna.db", "folder"),
        ("postgresql://user:secret@127.0.0.1:9/db", "check that the server runs"),
        ("postgresql://user@127.0.0.1:9/db?password=secret", "check that the server runs"),
        ("postgresql:/user:secret@127.0.0.1:9/db", "is not a database URL"),
        ("user:secret@host/db", "is not a database URL"),
    ],
)
def test_a_storage_that_cannot_be_opened_says_what_to_write_in_one_line(url: str, expected: str) -> None:
    with pytest.raises(StudyError) as raised:
        open_storage(url)
    message = str(raised.value)
    assert expected in message
    assert "\n" not in message
    assert "secret" not in message


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "optuna.db"
    path.write_text("this is a diary, not a database\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StudyError, match="not a database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.postgres
def test_four_processes_claim_each_queued_trial_exactly_once_on_postgresql(postgres_url: str) -> None:
    _assert_each_claimed_once(postgres_url, n_processes=4, n_queued=20)


@pytest.mark.postgres
def test_sessions_that_make_the_tables_of_a_server_at_once_do_not_disturb_each_other(postgres_url: str) -> None:
    server = make_url(postgres_url).set(drivername="postgresql+psycopg")
    with sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE fresh")
    connection.engine.dispose()
    _assert_all_can_open(server.set(database="fresh").render_as_string(hide_password=False))


@pytest.mark.postgres
def test_postgresql_is_spoken_to_through_psycopg_3(postgres_url: str) -> None:
    with opened(postgres_url) as storage:
        assert storage.engine.url.drivername == "postgresql+psycopg"


@pytest.mark.postgres
@pytest.mark.parametrize("given", ["", "?keepalives_idle=77&connect_timeout=3"])
def test_client_and_server_ask_after_each_other_unless_the_url_says_otherwise(postgres_url: str, given: str) -> None:
    with opened(postgres_url + given) as storage, storage.engine.connect() as connection:
        driver = connection.connection.driver_connection
        client = socket.socket(fileno=os.dup(driver.pgconn.socket))
        with client:
            found = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            assert found == (77 if given else 10)
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert driver.info.get_parameters()["connect_timeout"] == ("3" if given else "10")
        connection.rollback()  # as a pool does: what was set for the session stays
        names = ("tcp_keepalives_idle", "tcp_user_timeout", "idle_in_transaction_session_timeout")
        values = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    assert values == ["10", "30000", "1min"]


def test_the_storage_module_leaves_the_tracker_alone() -> None:
    check = "import sys, hms_search.search.storage; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
