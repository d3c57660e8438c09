"""The address of an MLflow store: checked before MLflow sees it, and named in every error."""

import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from hms_search.connections import outliving
from hms_search.errors import TrackingError
from hms_search.errors import without_password as without_password

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@contextmanager
def reported(uri: str) -> Iterator[None]:
    """Turn what MLflow raises into one TrackingError in one line that says where and what to do."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError, sqlite3.Error) as error:
        message = without_password(" ".join(str(error).split()))
        raise TrackingError(f"MLflow at {without_password(uri)}: {message}; {_remedy(uri)}") from error


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
