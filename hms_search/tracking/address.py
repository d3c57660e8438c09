"""The address of an MLflow store: checked before MLflow sees it, and named in every error."""

import os
import shlex
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from hms_search.connections import outliving
from hms_search.errors import TrackingError, driver_message
from hms_search.errors import without_password as without_password

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PLACES = ("host", "port", "dbname", "service", "unix_socket")
"""Settings of a database's address that say which one it is."""


_REFUSALS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@contextmanager
def reported(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one TrackingError in one line that says where and what to do."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError, sqlite3.Error) as error:
        raise TrackingError(f"MLflow at {without_password(uri)}: {driver_message(error)}; {_remedy(uri)}") from error


def is_refusal(error: BaseException) -> bool:
    """Say whether an error of :func:`reported` is MLflow's answer that it has no such run, or has it as deleted.

    What stands before a server that is away answers with other codes.
    """
    cause = error.__cause__
    return isinstance(cause, MlflowException) and cause.error_code in _REFUSALS


def check_address(uri: str) -> None:
    """Raise TrackingError for a scheme that is not understood, OSError or SQLAlchemyError where nothing answers.

    MLflow itself would try for minutes.
    """
    if is_server(uri):
        _reach(uri)
        return
    scheme = urlsplit(uri).scheme.split("+")[0]
    if scheme not in _DATABASES:
        raise TrackingError(
            f"tracking URI {without_password(uri)!r} is not understood; write sqlite:///mlruns/mlflow.db, the URL of "
            f"another database ({', '.join(_DATABASES[1:])}), http://host:5000 of an MLflow server, or none"
        )
    if scheme != "sqlite":
        engine = create_engine(outliving_uri(uri), poolclass=NullPool)
        with engine.connect():
            return


def outliving_uri(uri: str) -> str:
    """Return an address with which MLflow's client outlives a database server that vanishes."""
    if urlsplit(uri).scheme.split("+")[0] != "postgresql":
        return uri
    return outliving(make_url(uri)).render_as_string(hide_password=False)


def prepare_file(uri: str) -> None:
    """Make the folder and the file of a SQLite address where they are missing, and let several processes share it."""
    path = sqlite_path(uri)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=60)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file; a batch takes 8.5 ms instead of 11.6


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite URI, None for any other."""
    return Path(uri.removeprefix("sqlite:///").split("?")[0]) if uri.startswith("sqlite:///") else None


def kept_destination(uri: str, folder: Path) -> str:
    """Return what names an MLflow in a file of ``folder``: no user, password or setting of the connection.

    A SQLite file of the same working directory goes by its place from there: the two are moved, or seen elsewhere,
    together.
    """
    path = sqlite_path(uri)
    if path is None:
        return _named(uri)
    absolute, near = path.resolve(), folder.resolve()
    is_near = near.parents[min(1, len(near.parents) - 1)] in absolute.parents
    return f"sqlite:///{os.path.relpath(absolute, near) if is_near else absolute}"


def destination(kept: str, folder: Path) -> str:
    """Return the address that :func:`kept_destination` kept in ``folder``, as ``--tracking-uri`` takes it."""
    path = sqlite_path(kept)
    return kept if path is None else f"sqlite:///{(folder.resolve() / path).resolve()}"


def sync_line(named: str | None) -> str:
    """Return the command that sends what waits to an MLflow; ``named`` is its address, None that of ``mlruns``."""
    if named is None:
        return "hms-search sync"
    shown = without_password(named)
    hint = "" if shown == named else " (with its password for ***)"
    return f"hms-search sync --tracking-uri {shlex.quote(shown)}{hint}"


def _named(uri: str) -> str:
    """Return an address without what one may name the same MLflow with or without."""
    try:
        if is_server(uri):
            parts = urlsplit(uri)
            at = parts.netloc.rpartition("@")[2].lower()
            return without_password(f"{parts.scheme}://{at}{parts.path.rstrip('/')}")
        url = make_url(uri)
        places = {key: value for key, value in url.query.items() if key in _PLACES}
        bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=places)
        return without_password(bare.render_as_string())
    except (SQLAlchemyError, ValueError):
        return without_password(uri)


def is_server(uri: str) -> bool:
    """Say whether an address is a server's, not a database's."""
    return uri.startswith(("http://", "https://"))


def _remedy(uri: str) -> str:
    if is_server(uri):
        return "check that the server runs"
    if sqlite_path(uri) is not None:
        return "check the file, or name another --tracking-uri"
    return (
        "check that its driver is installed, that the server runs, and that host, user, password and database are right"
    )


def _reach(uri: str) -> None:
    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # urllib takes no user and password
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=10):
            return
    except urllib.error.HTTPError:  # something answers
        return
