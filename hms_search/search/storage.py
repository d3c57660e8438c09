"""Where Optuna keeps a study: a SQLite file several processes may share, a journal, or a database server.

Optuna claims a queued trial with ``SELECT ... FOR UPDATE``, which SQLite silently ignores: two processes can run one
trial. With the write lock taken before the first read of every transaction none is claimed twice.
"""

import fcntl
import importlib.util
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url

from hms_search.connections import outlived, outliving
from hms_search.data.disk import takes_files
from hms_search.errors import StudyError, driver_message, one_line, without_password
from hms_search.search.journal_storage import open_journal
from hms_search.search.row_storage import RowStorage

DEFAULT_STORAGE = "sqlite:///mlruns/optuna.db"
BUSY_TIMEOUT_S = 60.0
GOES_ON = "the same command goes on: the trials that were running are taken up after their last checkpoint"


def open_storage(url: str = DEFAULT_STORAGE, *, writes: bool = True) -> BaseStorage:
    """Return the storage behind a database URL, created where missing.

    SQLite files are kept in WAL mode, ``synchronous=NORMAL``, with a busy timeout of 60 s. ``writes=False`` takes
    no write lock, for a dashboard that must not hold up a running study.
    ``postgresql://`` means psycopg 3 where that is installed; ``journal:///FILE`` is a file for network file systems
    (:mod:`hms_search.search.journal_storage`); any other URL is passed on as it is.

    Raises
    ------
    StudyError
        The URL cannot be read, its driver is missing, or the database cannot be reached or is not Optuna's.
    """
    parsed = _parse(url)
    shown = _shown(parsed)
    try:
        if parsed.drivername == _JOURNAL:
            return open_journal(Path(str(parsed.database)))
        return _open_sqlite(parsed, writes) if _is_sqlite_file(parsed) else _open(outliving(parsed))
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise StudyError(f"storage {shown}: {one_line(error)}; {_EXPECTED}") from error
    except ImportError as error:
        raise StudyError(f"storage {shown}: no driver for {parsed.drivername!r}; {_driver_remedy(parsed)}") from error
    except _FAULTS as error:
        raise StudyError(f"storage {shown}: {driver_message(error)}; {_reach_remedy(parsed)}") from error
    except OSError as error:
        raise StudyError(f"storage {shown}: {error.strerror}; name a file in a folder this user may write") from error
    except RuntimeError as error:  # written by another version of Optuna; the message names the command that upgrades
        raise StudyError(f"storage {shown}: {one_line(error)}") from error


def open_existing_storage(url: str = DEFAULT_STORAGE, *, writes: bool = False) -> BaseStorage:
    """Return the storage behind a database URL, for reading unless ``writes``; a file must be there already.

    Raises StudyError as :func:`open_storage`, and where there is no file.
    """
    parsed = _parse(url)
    if _is_file(parsed) and not Path(str(parsed.database)).is_file():
        raise StudyError(
            f"there are no studies yet: no file {parsed.database}; make one with hms-search run STUDY.yaml, "
            "or change to the folder it was run in, or give --storage URL"
        )
    return open_storage(url, writes=writes)


@contextmanager
def existing_storage(url: str = DEFAULT_STORAGE, *, writes: bool = False) -> Iterator[BaseStorage]:
    """Give the storage of :func:`open_existing_storage`, and close its connections at the end.

    SQLite writes even to read; where the disk is full or read-only, a copy elsewhere is read.
    """
    with ExitStack() as stack:
        try:
            storage = open_existing_storage(url, writes=writes)
        except StudyError:
            file = Path(str(_parse(url).database))
            if writes or not (_is_sqlite_file(_parse(url)) and file.is_file()) or takes_files(file.parent):
                raise
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            for part in file.parent.glob(f"{file.name}*"):  # with what is not yet in the file itself
                shutil.copy(part, folder)
            storage = open_existing_storage(f"sqlite:///{folder}/{file.name}")
        stack.callback(close_storage, storage)
        yield storage


@contextmanager
def telling_of_storage(url: str) -> Iterator[None]:
    """Raise StudyError for what a session's storage raises inside: a file that may not be written, a server's fault."""
    try:
        yield
    except _FAULTS as error:
        raise StudyError(f"storage {_shown(_parse(url))}: {driver_message(error)}; once mended, {GOES_ON}") from error


@contextmanager
def making_tables_alone(url: URL) -> Iterator[None]:
    """Hold a lock of a PostgreSQL server: two sessions that make tables at once disturb each other."""
    if url.get_backend_name() != "postgresql":
        yield
        return
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    outlived(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_TABLES_LOCK})")
        yield


def is_server(url: str) -> bool:
    """Say whether a URL names a database server, which many machines can reach; raises StudyError as above."""
    parsed = _parse(url)
    return parsed.get_backend_name() != "sqlite" and parsed.drivername != _JOURNAL


def file_of(url: str) -> Path | None:
    """Return the file that a storage is in; None where that is a server."""
    parsed = _parse(url)
    return Path(str(parsed.database)).resolve() if _is_file(parsed) else None


def lock_beside(url: str, study: str) -> Path | None:
    """Return the file beside a storage's own that a session of a study holds locked; None where that is a server.

    Sessions of several working directories may name one file.
    """
    file = file_of(url)
    return None if file is None else file.with_name(f".{file.name}.{study}.lock")


def same_address(one: str, other: str) -> bool:
    """Say whether two addresses, as of databases or servers, are the same one."""
    return _canonical(one) == _canonical(other)


def close_storage(storage: BaseStorage) -> None:
    """Close a storage's connections; a server keeps each one that is only forgotten."""
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


_JOURNAL = "journal"
_FAULTS = (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError)
_TABLES_LOCK = 0x686D73  # any number that nobody else in the database locks
_EXPECTED = f"write e.g. {DEFAULT_STORAGE}, postgresql://user:password@host/database or journal:///FILE"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StudyError(f"storage {without_password(url)!r} is not a database URL; {_EXPECTED}") from error
    if parsed.drivername == _JOURNAL and (parsed.host or not parsed.database):
        raise StudyError(
            f"storage {without_password(url)!r} names no file; write journal:///FILE, or journal:////FOLDER/FILE for "
            "an absolute path"
        )
    if parsed.drivername in ("postgres", "postgresql") and importlib.util.find_spec("psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _canonical(address: str) -> str:
    """Return an address with a file's path in full."""
    head, slashes, path = address.partition(":///")
    return f"{head}{slashes}{Path(path).resolve()}" if slashes else address.rstrip("/")


def _is_sqlite_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def _is_file(url: URL) -> bool:
    return url.drivername == _JOURNAL or _is_sqlite_file(url)


def _open(url: URL, **connect_args: object) -> RDBStorage:
    """Return Optuna's storage, its tables made where missing."""
    address = url.render_as_string(hide_password=False)
    with making_tables_alone(url):
        storage = RowStorage(address, engine_kwargs={"connect_args": connect_args})
    outlived(storage.engine)
    return storage


def _open_sqlite(url: URL, writes: bool) -> RDBStorage:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _one_process_at_a_time(path.parent):
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        storage = _open(url, timeout=BUSY_TIMEOUT_S)
    engine = storage.engine
    engine.dispose()  # connections from before the events below
    sqlalchemy.event.listen(engine, "connect", _configure)
    # Only now: checking the tables, Optuna uses two connections at once, which would wait for each other's lock.
    sqlalchemy.event.listen(engine, "begin", _begin_to_write if writes else _begin_to_read)
    return storage


@contextmanager
def _one_process_at_a_time(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder: two processes that make the tables of one file disturb each other."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, not at the first write
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_to_write(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_to_read(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _shown(url: URL) -> str:
    return without_password(url.render_as_string(hide_password=True))


def _driver_remedy(url: URL) -> str:
    if url.get_backend_name() in ("postgres", "postgresql"):
        return "install it with: pip install 'hms-search[postgres]'"
    return f"install the Python package of that driver, or {_EXPECTED}"


def _reach_remedy(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return "expected a file that this user may write and that Optuna made; name another file, or move this one away"
    return "check that the server runs and that host, port, user, password and database are right"
