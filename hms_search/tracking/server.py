"""A local MLflow server on a tracking store, for looking at runs; it ends with the process that started it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hms_search.errors import TrackingError
from hms_search.tracking.environment import PRIVATE

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 10.0


@dataclass(frozen=True)
class MlflowServer:
    """A server that answers at ``address``."""

    address: str
    _process: subprocess.Popen[bytes]
    _log: BinaryIO

    def check(self) -> None:
        """Raise TrackingError, with the last lines it wrote, where the server has ended."""
        code = self._process.poll()
        if code is None:
            return
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        tail = " | ".join(line.strip() for line in lines[-8:] if line.strip())
        raise TrackingError(f"the MLflow server at {self.address} ended with exit code {code}; it wrote: {tail}")


@contextmanager
def mlflow_server(uri: str, artifacts: Path, *, host: str, port: int) -> Iterator[MlflowServer]:
    """Run an MLflow server on a database, from when it answers until the context ends.

    It serves its own host's names only, sends nothing home and starts no job runner.

    Raises TrackingError where it ends or does not answer within two minutes.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            _command(artifacts, host, port),
            env={**os.environ, **PRIVATE, "MLFLOW_BACKEND_STORE_URI": uri},  # not an argument: it may hold a password
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
        )
        try:
            server = MlflowServer(f"http://{host}:{port}", process, log)
            _wait_for(server)
            yield server
        finally:
            _stop(process)


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


def _wait_for(server: MlflowServer) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while not _answers(f"{server.address}/health"):
        server.check()
        if time.monotonic() > deadline:
            raise TrackingError(f"the MLflow server at {server.address} did not answer in {_START_LIMIT_S:.0f} s")
        time.sleep(0.1)


def _answers(address: str) -> bool:
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with local.open(address, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the workers it started, which share its process group."""
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_LIMIT_S)
    finally:  # also when the user does not want to wait
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
