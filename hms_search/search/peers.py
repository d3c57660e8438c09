"""The sessions of one study: on a database server any number of them share it, elsewhere one has it alone.

Each session holds a lease, a row with a counter that it raises at every beat, and at every beat looks at the others'.
One whose counter stood still for a number of the looker's own beats is taken for dead, and whoever sees it takes up its
trials. No two clocks are compared, so that none needs to be right; while the server is away nobody's beats count. On
one machine a dead process is seen at once.

What must not be done by two at a time, as to take the last trial of a budget, is done exclusively: a row of the study
is held locked. A suspended session does not hold up the others: the server lets go of what is held idly for 60 s
(:mod:`hms_search.connections`). One that is only busy is not idle, as it says something at every beat. Turns are
counted, so that a session whose lock was let go of finds out whether another has had the study since.
"""

import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table

from hms_search.errors import StudyError
from hms_search.search.patient_storage import has_server, insist, is_away
from hms_search.search.storage import making_tables_alone

BEAT_S = 5.0
MISSED = 10
"""How many of its own beats a session waits for another's: a process that is only slow beats within them."""
SESSION_KEY = "hms_search:session"
"""The system attribute of a running trial: the session that runs it; empty where it waits for one."""

HOME_KEY = "hms_search:home"
_NOT_TO_LAST = ("synchronous_commit", "off", True)
"""A setting of PostgreSQL for the transaction that holds a study: nothing is kept by it that must outlast a crash."""

_TABLES = MetaData()
_TURNS = Table(
    "hms_search_turns",
    _TABLES,
    Column("study", String(512), primary_key=True),
    Column("session", String(32), nullable=False),
    Column("turn", BigInteger, nullable=False),
)
_SESSIONS = Table(
    "hms_search_sessions",
    _TABLES,
    Column("session", String(32), primary_key=True),
    Column("study", String(512), nullable=False, index=True),
    Column("home", String(32), nullable=False),
    Column("machine", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)


class Peers(Protocol):
    """A session among those of its study; ``session`` is its name."""

    session: str

    @property
    def homes(self) -> dict[str, str]:
        """The working directories of the sessions that live and do not leave, this one's among them."""

    def exclusively(self) -> AbstractContextManager[None]:
        """Let no other session of the study do what is done within; raise StudyError where one may have."""

    def check(self) -> None:
        """Raise StudyError where the others take this session for dead."""

    def leave(self) -> bool:
        """Say that this session runs no more trials; return whether no other one does.

        It has its lease until it ends: what it still writes is not to be copied meanwhile.
        """


class Alone:
    """The only session of its study, as the lock of its working directory makes sure."""

    def __init__(self) -> None:
        self.session = uuid4().hex

    @property
    def homes(self) -> dict[str, str]:
        """Its own, which has no name."""
        return {self.session: ""}

    def exclusively(self) -> AbstractContextManager[None]:
        """Do nothing: there is no other."""
        return nullcontext()

    def check(self) -> None:
        """Do nothing: nobody takes it for dead."""

    def leave(self) -> bool:
        """Say that there is no other."""
        return True


class Shared:
    """A session that shares its study with others; see :func:`joined`."""

    def __init__(self, engine: sqlalchemy.Engine, study: str, home: str, say: Callable[[str], None]) -> None:
        self.session = uuid4().hex
        self._engine, self._study, self._home, self._say = engine, study, home, say
        self._beats: dict[str, int] = {}
        self._missed: Counter[str] = Counter()
        self._homes = {self.session: home}
        self._expelled = False
        self._held: sqlalchemy.Connection | None = None
        self._hand = threading.Lock()
        """Held by the thread that uses the connection that holds the study."""

    @property
    def homes(self) -> dict[str, str]:
        """The working directories of the sessions that live and do not leave, by session, as of the last beat."""
        return self._homes

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Hold the study's row.

        A server that restarts lets go of it, as it does where this process was suspended. Raises StudyError where
        another session has held it since.
        """
        self.check()
        self._held, turn = insist(lambda _: self._lock(), self._say)
        try:
            insist(lambda _: self._look_now(), self._say)
            yield
        except BaseException:
            self._let_go()
            raise
        if not self._let_go():
            self._check_turn(turn)

    def keep(self) -> None:
        """Say something on the connection that holds the study, if one does: the server ends one that is idle."""
        with self._hand, suppress(sqlalchemy.exc.SQLAlchemyError):  # what it lost is found out as it lets go
            if self._held is not None:
                self._held.execute(sqlalchemy.select(1))

    def check(self) -> None:
        """Raise StudyError where the others took this session for dead, after a suspension of the machine, say."""
        if self._expelled:
            raise StudyError(
                f"the other sessions of study {self._study!r} took this one for dead: it had not answered for "
                f"{BEAT_S * MISSED:.0f} s; its trials are run by them. Start it again to help"
            )

    def leave(self) -> bool:
        """Say that this session runs no more trials, in a lease without a home; return whether no other one does.

        Of several that leave at a time the last one sees nobody.
        """

        def mark(_: bool) -> None:
            with self._engine.begin() as connection:
                connection.execute(_SESSIONS.update().where(_SESSIONS.c.session == self.session).values(home=""))

        with self.exclusively():  # looks who lives
            insist(mark, self._say)
            return len(self._homes) == 1

    def begin(self) -> None:
        """Take the lease."""
        row = {"session": self.session, "study": self._study, "home": self._home, "machine": _machine(), "beat": 0}
        row |= {"pid": os.getpid(), "started": _started(os.getpid())}

        def take(again: bool) -> None:
            with self._engine.begin() as connection:
                if again:
                    connection.execute(_SESSIONS.delete().where(_SESSIONS.c.session == self.session))
                connection.execute(_SESSIONS.insert(), row)

        insist(take, self._say)

    def beat(self) -> None:
        """Raise the counter and look at the others'."""
        mine = _SESSIONS.c.session == self.session
        with self._engine.begin() as connection:
            found = connection.execute(_SESSIONS.update().where(mine).values(beat=_SESSIONS.c.beat + 1))
            self._expelled = found.rowcount == 0
            self._look(connection, counts=True)

    def end(self) -> None:
        """Give the lease back; where the server is away the others find out."""
        with suppress(sqlalchemy.exc.DBAPIError), self._engine.begin() as connection:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.session == self.session))

    def _lock(self) -> tuple[sqlalchemy.Connection, int]:
        """Return a connection that holds the study's row, and the number of the turn."""
        connection, row = self._engine.connect(), _TURNS.c.study == self._study
        try:
            taking = _TURNS.update().where(row).values(turn=_TURNS.c.turn + 1, session=self.session)
            if connection.dialect.name == "postgresql":
                taking = taking.returning(_TURNS.c.turn, sqlalchemy.func.set_config(*_NOT_TO_LAST))
                turn: int = connection.execute(taking).scalar_one()
            else:
                connection.execute(taking)
                turn = connection.execute(sqlalchemy.select(_TURNS.c.turn).where(row)).scalar_one()
        except BaseException:
            connection.close()
            raise
        return connection, turn

    def _let_go(self) -> bool:
        """Let go of the study's row; say whether it was held until now."""
        with self._hand:
            held, self._held = self._held, None
            assert held is not None
            try:
                with held:
                    held.commit()
            except sqlalchemy.exc.SQLAlchemyError as error:
                if not is_away(error):
                    raise
                return False
        return True

    def _check_turn(self, turn: int) -> None:
        """Raise StudyError where another session has had a turn since; one that has it now is waited for."""

        def last(_: bool) -> tuple[int, str]:
            with self._engine.begin() as connection:
                row = sqlalchemy.select(_TURNS).where(_TURNS.c.study == self._study).with_for_update()
                found = connection.execute(row).one()
            return found.turn, found.session

        number, session = insist(last, self._say)
        if session != self.session and number >= turn:  # this one's own number was not kept
            raise StudyError(
                f"study {self._study!r} was written by two sessions at once: the database server had ended the "
                "connection by which this one held it, as where a machine was suspended; compare its trials "
                "(hms-search show), then start this session again to help"
            )

    def _look_now(self) -> None:
        """See who lives, apart from what holds the study: of what that deletes a beat would wait for its end."""
        with self._engine.begin() as connection:
            self._look(connection)

    def _look(self, connection: sqlalchemy.Connection, *, counts: bool = False) -> None:
        """See who lives; ``counts`` says that this is a beat, in which each of the others should have beaten too."""
        rows = connection.execute(_SESSIONS.select().where(_SESSIONS.c.study == self._study)).all()
        dead = {row.session for row in rows if self._is_dead(row, counts)} - {self.session}
        if dead:
            connection.execute(_SESSIONS.delete().where(_SESSIONS.c.session.in_(dead)))
        living = {row.session: row.home for row in rows if row.session not in dead and row.home}
        self._homes = living | {self.session: self._home}

    def _is_dead(self, row: sqlalchemy.Row[tuple[object, ...]], counts: bool) -> bool:
        if row.machine == _machine() and not _runs(row.pid, row.started):
            return True
        if self._beats.get(row.session) != row.beat:
            self._beats[row.session] = row.beat
            self._missed[row.session] = 0
        elif counts:
            self._missed[row.session] += 1
        return self._missed[row.session] >= MISSED


@contextmanager
def joined(storage: BaseStorage, study: str, folder: Path, say: Callable[[str], None]) -> Iterator[Peers]:
    """Join the sessions of a study; where its storage is no database server there is only this one.

    Parameters
    ----------
    storage
        As it was opened, not one that waits.
    folder
        Where this session's unfinished trials lie: sessions that see the same one can go on with each other's.
    say
        Told that the server is away.
    """
    if not has_server(storage):
        yield Alone()
        return
    assert isinstance(storage, RDBStorage)
    engine = storage.engine
    make_tables(engine, study)
    peers = Shared(engine, study, name_of_home(folder), say)
    peers.begin()
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            peers.keep()
            with suppress(sqlalchemy.exc.DBAPIError):  # it is away: nobody can beat
                peers.beat()

    thread = threading.Thread(target=beat, name="hms-search-beat", daemon=True)
    thread.start()
    try:
        yield peers
    finally:
        over.set()
        thread.join()
        peers.end()


def living_sessions(storage: BaseStorage, study: str) -> int:
    """Return how many sessions hold a lease of a study on a database server; some may have died a short while ago."""
    return len(_leases(storage, [study]))


def running_studies(storage: BaseStorage, studies: Sequence[str], say: Callable[[str], None]) -> set[str]:
    """Return which studies of a storage are run by sessions on a database server.

    Whether a session of another machine lives only its beats tell: where there are no others, it waits for them.

    Parameters
    ----------
    say
        Told that it waits.
    """
    before = _leases(storage, studies)
    if any(row.machine == _machine() for row in before) or not before:
        return {row.study for row in before}
    wait_s = BEAT_S * (MISSED + 1)
    names = ", ".join(sorted({row.study for row in before}))
    say(f"study {names} was run on another machine: waiting {wait_s:.0f} s to see whether it still is")
    time.sleep(wait_s)
    stood_still = {(row.session, row.beat) for row in before}
    return {row.study for row in _leases(storage, studies) if (row.session, row.beat) not in stood_still}


def _leases(storage: BaseStorage, studies: Sequence[str]) -> list[sqlalchemy.Row[Any]]:
    """Return the leases of studies but for those of processes of this machine that are gone."""
    if not has_server(storage):
        return []
    assert isinstance(storage, RDBStorage)
    with storage.engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table(_SESSIONS.name):
            return []
        rows = connection.execute(_SESSIONS.select().where(_SESSIONS.c.study.in_(studies))).all()
    return [row for row in rows if row.machine != _machine() or _runs(row.pid, row.started)]


def owner_of(trial: FrozenTrial) -> str:
    """Return the session that runs a trial, or ran it last; empty where none did."""
    return str(trial.system_attrs.get(SESSION_KEY, ""))


def home_of(trial: FrozenTrial) -> str:
    """Return the working directory where a paused trial has its checkpoint."""
    return str(trial.system_attrs.get(HOME_KEY, ""))


def name_of_home(folder: Path, file: str = ".home") -> str:
    """Return the name of a folder that is the same on all machines that share it, given at the first time.

    A ``file`` that a power cut left without the name stays so, and a further one has it: what another session may have
    read is never replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        fresh = folder / f"{file}-{uuid4().hex}"
        fresh.write_text(uuid4().hex)
        try:
            os.link(fresh, folder / file)  # whole at once, and only for the first
        finally:
            fresh.unlink()
    name = (folder / file).read_text()
    return name if name.isalnum() else name_of_home(folder, f"{file}2")


def make_tables(engine: sqlalchemy.Engine, study: str) -> None:
    """Make what is missing; another session may be doing the same."""
    with making_tables_alone(engine.url):
        _TABLES.create_all(engine)
    with suppress(sqlalchemy.exc.IntegrityError), engine.begin() as connection:
        if not connection.execute(_TURNS.select().where(_TURNS.c.study == study)).first():
            connection.execute(_TURNS.insert(), {"study": study, "session": "", "turn": 0})


@cache
def _machine() -> str:
    """Return a name of this boot of this machine and, in a container, of its processes."""
    boot, processes = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.is_file():
        return socket.gethostname()
    return f"{boot.read_text().strip()} {processes.readlink()}"


def _runs(pid: int, started: int) -> bool:
    """Say whether a process of this machine is still the one that began at ``started``; a pid may be given again."""
    return _started(pid) == started


def _started(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine did, which no clock moves; None: there is none."""
    if not Path("/proc/self/stat").is_file():
        return 0  # not Linux: its beats alone tell
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])  # field 22 of proc(5)
    except (FileNotFoundError, ProcessLookupError):
        return None
