"""The sessions of a study on a real database server: who lives, and what only one does at a time."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import RDBStorage

from hms_search import connections
from hms_search.errors import StudyError
from hms_search.search import peers
from hms_search.search.peers import (
    MISSED,
    Alone,
    Shared,
    joined,
    living_sessions,
    make_tables,
    name_of_home,
    running_studies,
)
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.workers import warm_up

pytestmark = pytest.mark.postgres


@pytest.fixture
def storage(postgres_url: str) -> Iterator[RDBStorage]:
    found = open_storage(postgres_url)
    assert isinstance(found, RDBStorage)
    make_tables(found.engine, "shared")
    with found.engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM hms_search_sessions"))
    yield found
    close_storage(found)


def session(storage: RDBStorage, home: str = "here") -> Shared:
    found = Shared(storage.engine, "shared", home, lambda _: None)
    found.begin()
    return found


def test_sessions_see_each_other_until_they_leave(storage: RDBStorage) -> None:
    one, other = session(storage, "here"), session(storage, "there")
    one.beat()
    assert one.homes == {one.session: "here", other.session: "there"}
    assert living_sessions(storage, "shared") == 2
    other.end()
    one.beat()
    assert one.homes == {one.session: "here"}


def test_of_sessions_that_leave_at_a_time_the_last_one_knows_that_it_is(storage: RDBStorage) -> None:
    one, other, third = (session(storage, home) for home in ("here", "there", "there"))
    assert not one.leave()
    other.beat()
    assert other.homes == {other.session: "there", third.session: "there"}
    assert living_sessions(storage, "shared") == 3  # until they have said their last words
    one.beat()
    one.check()
    assert not third.leave()
    assert other.leave()
    assert Alone().leave()


def test_a_session_is_dead_once_it_missed_enough_of_anothers_beats_and_is_told_so(storage: RDBStorage) -> None:
    one, silent, slow = session(storage), session(storage), session(storage)
    one.beat()
    for beat in range(MISSED):
        assert silent.session in one.homes, beat
        if beat % (MISSED - 1) == 0:  # every now and then is enough
            slow.beat()
        one.beat()
    assert one.homes.keys() == {one.session, slow.session}
    silent.beat()
    with pytest.raises(StudyError, match="took this one for dead"):
        silent.check()
    with pytest.raises(StudyError, match="took this one for dead"), silent.exclusively():
        pass
    one.check()


def test_no_beats_are_missed_by_looking(storage: RDBStorage) -> None:
    one, silent = session(storage), session(storage)
    for _ in range(2 * MISSED):
        with one.exclusively():
            assert silent.session in one.homes


def die_with_a_lease(url: str) -> None:
    found = open_storage(url)
    assert isinstance(found, RDBStorage)
    session(found)
    os._exit(0)


def leave_a_dead_lease(url: str) -> None:
    """Let a process of this machine take a lease and die with it."""
    warm_up()
    process = multiprocessing.get_context("forkserver").Process(target=die_with_a_lease, args=(url,))
    process.start()
    process.join()


def test_a_process_of_this_machine_that_is_gone_is_dead_at_once(storage: RDBStorage, postgres_url: str) -> None:
    leave_a_dead_lease(postgres_url)
    one = session(storage)
    assert living_sessions(storage, "shared") == 1
    with one.exclusively():
        assert one.homes.keys() == {one.session}


def test_what_is_done_exclusively_waits_for_the_other(storage: RDBStorage) -> None:
    one, other = session(storage), session(storage)
    inside, done = threading.Event(), []

    def second() -> None:
        inside.wait()
        with other.exclusively():
            done.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with one.exclusively():
        inside.set()
        thread.join(timeout=0.5)
        done.append("first")
    thread.join()
    assert done == ["first", "second"]


def test_a_session_that_is_busy_keeps_the_study_for_longer_than_the_server_lets_one_be_idle(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections._OF_SERVER, "idle_in_transaction_session_timeout", "3s")
    monkeypatch.setattr(peers, "BEAT_S", 0.2)
    done = []
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(joined(opened(stack, postgres_url), "busy", tmp_path, lambda _: None)) for _ in range(2)
        )

        def second() -> None:
            with other.exclusively():
                done.append("second")

        thread = threading.Thread(target=second)
        with one.exclusively():
            thread.start()
            time.sleep(6)
            done.append("first")
        thread.join()
    assert done == ["first", "second"]


def opened(stack: ExitStack, url: str) -> RDBStorage:
    found = open_storage(url)
    assert isinstance(found, RDBStorage)
    stack.callback(close_storage, found)
    return found


def end_idle_transactions(storage: RDBStorage) -> None:
    """End the connections that hold something, as the server does with those of a suspended process."""
    held = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
    with storage.engine.begin() as connection:
        assert connection.execute(sqlalchemy.text(held)).all() == [(True,)]


@pytest.mark.parametrize("beats", [False, True])
def test_a_session_that_lost_the_study_to_another_is_told_so(storage: RDBStorage, beats: bool) -> None:
    one, other, entered = session(storage), session(storage), []

    def lose_it() -> None:
        with one.exclusively():
            end_idle_transactions(storage)
            if beats:
                one.keep()
            with other.exclusively():
                entered.append(other)

    with pytest.raises(StudyError, match=r"was written by two sessions at once: .*start this session again"):
        lose_it()
    assert entered == [other]
    with one.exclusively():
        pass


def test_a_session_that_lost_the_study_to_nobody_goes_on(storage: RDBStorage) -> None:
    one, other = session(storage), session(storage)
    with other.exclusively():
        pass
    for _ in range(2):
        with one.exclusively():
            end_idle_transactions(storage)
    with other.exclusively():
        pass


def test_what_went_wrong_within_is_not_hidden_by_the_loss_of_the_study(storage: RDBStorage) -> None:
    one = session(storage)

    def go_wrong() -> None:
        with one.exclusively():
            end_idle_transactions(storage)
            raise KeyError("within")

    with pytest.raises(KeyError, match="within"):
        go_wrong()


def test_a_beat_does_not_wait_for_what_is_done_exclusively(storage: RDBStorage, postgres_url: str) -> None:
    leave_a_dead_lease(postgres_url)
    one = session(storage)
    with one.exclusively():  # takes the lease of the dead one
        thread = threading.Thread(target=one.beat)
        thread.start()
        thread.join(timeout=20)
        waited = thread.is_alive()
    thread.join()
    assert not waited


def of_another_machine(storage: RDBStorage) -> Shared:
    """A session whose process nobody here can see."""
    found = session(storage)
    with storage.engine.begin() as connection:
        here = sqlalchemy.text("UPDATE hms_search_sessions SET machine = 'another' WHERE session = :session")
        connection.execute(here, {"session": found.session})
    return found


def test_a_session_of_another_machine_that_does_not_beat_runs_nothing(
    storage: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "BEAT_S", 0.01)
    far, said = of_another_machine(storage), list[str]()
    assert living_sessions(storage, "shared") == 1
    assert running_studies(storage, ["shared", "other"], said.append) == set()
    assert [text.startswith("study shared was run on another machine: waiting") for text in said] == [True]
    assert running_studies(storage, ["shared"], lambda _: far.beat()) == {"shared"}
    here = session(storage)
    assert running_studies(storage, ["shared"], pytest.fail) == {"shared"}
    here.end()
    far.end()
    assert running_studies(storage, ["shared"], pytest.fail) == set()


@pytest.mark.parametrize("left", ["", "\0" * 32])
def test_a_folder_whose_name_a_power_cut_took_is_named_anew_and_its_session_seen(
    storage: RDBStorage, tmp_path: Path, left: str
) -> None:
    (tmp_path / ".home").write_text(left)
    one, other = session(storage, name_of_home(tmp_path)), session(storage, "there")
    other.beat()
    assert other.homes.keys() == {one.session, other.session}
    assert name_of_home(tmp_path) == other.homes[one.session]
    (tmp_path / ".home2").write_text(left)
    assert name_of_home(tmp_path).isalnum()


def test_a_session_that_ends_gives_its_lease_back(storage: RDBStorage, tmp_path: Path) -> None:
    with joined(storage, "shared", tmp_path, lambda _: None) as peers:
        assert isinstance(peers, Shared)
        assert living_sessions(storage, "shared") == 1
        assert peers.homes == {peers.session: name_of_home(tmp_path)}
    assert living_sessions(storage, "shared") == 0


def test_a_study_in_a_file_has_one_session(tmp_path: Path) -> None:
    found = open_storage(f"sqlite:///{tmp_path}/optuna.db")
    with joined(found, "alone", tmp_path, lambda _: None) as peers:
        assert isinstance(peers, Alone)
    assert living_sessions(found, "alone") == 0
    close_storage(found)


def test_a_folder_has_one_name_for_all(tmp_path: Path) -> None:
    names = {name_of_home(tmp_path / "a") for _ in range(3)}
    assert len(names) == 1
    assert names != {name_of_home(tmp_path / "b")}
