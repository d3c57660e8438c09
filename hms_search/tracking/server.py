"""A local MLflow server on a tracking store, for looking at runs; it ends with the process that started it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from hms_search.servers import ChildServer, child_server
from hms_search.tracking.environment import PRIVATE

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@contextmanager
def mlflow_server(uri: str, artifacts: Path, *, host: str, port: int) -> Iterator[ChildServer]:
    """Run an MLflow server on a database, from when it answers until the context ends.

    It serves its own host's names only, and pages of its own, sends nothing home and starts no job runner.

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
    names = dict.fromkeys([*_LOOPBACK, host])
    # Where it listens on all of the machine's addresses, MLflow's own rule holds: local names and private networks.
    allowed = [] if host == "0.0.0.0" else ["--allowed-hosts", ",".join(f"{name}:{port}" for name in names)]
    # MLflow's page asks with POST and its own address, which MLflow takes for a foreign one unless that is loopback's.
    pages = [f"http://{name}:{port}" for name in _addresses(host) if name not in _LOOPBACK]
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"),
        *("--uvicorn-opts", "--log-level warning --timeout-graceful-shutdown 1"),
        *("--default-artifact-root", artifacts.resolve().as_uri(), "--no-serve-artifacts"),
        *allowed,
        *(("--cors-allowed-origins", ",".join(pages)) if pages else ()),
    ]


def _addresses(host: str) -> list[str]:
    """Return the addresses of this machine under which a server is reached that listens on ``host``."""
    if host != "0.0.0.0":
        return [host]
    found = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return sorted({address.address for address in found if address.family == socket.AF_INET})
