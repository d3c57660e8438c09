"""A local MLflow server on a tracking store, for looking at runs; it ends with the process that started it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from hms_search.servers import ChildServer, address_of, child_server, family_of
from hms_search.tracking.environment import PRIVATE

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::")


@contextmanager
def mlflow_server(uri: str, artifacts: Path, *, host: str, port: int) -> Iterator[ChildServer]:
    """Run an MLflow server on a database, from when it answers until the context ends.

    It serves its own host's names only, and pages of its own, sends nothing home and starts no job runner.

    Raises ServerError where it ends or does not answer within two minutes.
    """
    with child_server(
        "the MLflow server",
        _command(artifacts, host, port),
        address=address_of(host, port),
        health="/health",
        environment={**PRIVATE, "MLFLOW_BACKEND_STORE_URI": uri},  # not an argument: it may hold a password
    ) as server:
        yield server


def _command(artifacts: Path, host: str, port: int) -> list[str]:
    names = dict.fromkeys(
        address_of(name, port).removeprefix("http://") for name in (*_LOOPBACK, host, *_addresses(host))
    )
    # Where it listens on all IPv4 addresses of the machine, MLflow's own rule holds: local names and private networks.
    allowed = [] if host == "0.0.0.0" else ["--allowed-hosts", ",".join(names)]
    # MLflow's page asks with POST and its own address, which MLflow takes for a foreign one unless that is loopback's.
    pages = [address_of(name, port) for name in _addresses(host) if name not in _LOOPBACK]
    return [
        *(sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"),
        *("--uvicorn-opts", "--log-level warning --timeout-graceful-shutdown 1"),
        *("--default-artifact-root", artifacts.resolve().as_uri(), "--no-serve-artifacts"),
        *allowed,
        *(("--cors-allowed-origins", ",".join(pages)) if pages else ()),
    ]


def _addresses(host: str) -> list[str]:
    """Return the addresses of this machine under which a server is reached that listens on ``host``."""
    if host not in _WILDCARDS:
        return [host]
    found = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    return sorted({address.address for address in found if address.family == family_of(host)})
