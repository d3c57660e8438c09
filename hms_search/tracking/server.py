"""A local MLflow server on a tracking store, for looking at runs; it ends with the process that started it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hms_search.servers import ChildServer, child_server
from hms_search.tracking.environment import PRIVATE


@contextmanager
def mlflow_server(uri: str, artifacts: Path, *, host: str, port: int) -> Iterator[ChildServer]:
    """Run an MLflow server on a database, from when it answers until the context ends.

    It serves its own host's names only, sends nothing home and starts no job runner.

    Raises ServerError where it ends or does not answer within two minutes.
    """
    with child_server(
        "the MLflow server",
        _command(artifacts, host, port),
        address=f"http://{host}:{port}",
        health="/health",
        environment={**PRIVATE, "MLFLOW_BACKEND_STORE_URI": uri},  # not an argument: it may hold a password
    ) as server:
        yield server


def _command(artifacts: Path, host: str, port: int) -> list[str]:
    names = dict.fromkeys(["localhost", "127.0.0.1", "[::1]", host])
    # Where it listens on all of the machine's addresses, MLflow's own rule holds: local names and private networks.
    allowed = [] if host == "0.0.0.0" else ["--allowed-hosts", ",".join(f"{name}:{port}" for name in names)]
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"),
        *("--uvicorn-opts", "--log-level warning --timeout-graceful-shutdown 1"),
        *("--default-artifact-root", artifacts.resolve().as_uri(), "--no-serve-artifacts"),
        *allowed,
    ]
