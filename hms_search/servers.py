"""Servers of this machine: port and names of each, and one in a process of its own, which ends with its starter."""

import errno
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import urlsplit

from hms_search.errors import ServerError

logger = logging.getLogger(__name__)

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 10.0
_SHOWN_LINES = 8
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})


@dataclass(frozen=True)
class ChildServer:
    """A server that answers at ``address``; ``what`` is its name in messages."""

    what: str
    address: str
    _process: subprocess.Popen[bytes]
    _log: BinaryIO

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def check(self) -> None:
        """Raise ServerError, with the last lines it wrote, where the server has ended."""
        code = self._process.poll()
        if code is None:
            return
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        tail = " | ".join(line.strip() for line in lines[-_SHOWN_LINES:] if line.strip())
        raise ServerError(f"{self.what} at {self.address} ended with exit code {code}; it wrote: {tail}")


@contextmanager
def child_server(
    what: str, command: Sequence[str], *, address: str, health: str, environment: Mapping[str, str]
) -> Iterator[ChildServer]:
    """Run a server in a process of its own, from when it answers until the context ends.

    Parameters
    ----------
    health
        A path under the address that answers 200, or 401 without a password, as soon as the server is up.
    environment
        What its environment has besides this process's.

    Raises ServerError where it ends or does not answer within two minutes.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on
        )
        try:
            server = ChildServer(what, address, process, log)
            _wait_for(server, f"{address}{health}")
            yield server
        finally:
            _stop(process)


def free_port(host: str, wanted: int, what: str) -> int:
    """Return ``wanted``, or with a warning another port where it is taken; any free one for 0.

    Raises ServerError where the host is none of this machine's.
    """
    for port in (wanted, 0):
        try:
            found = _bound_once(host, port)
        except OSError as error:
            if port and error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise ServerError(f"cannot listen on {host}: {error}; give a --host of this machine") from error
        if wanted and found != wanted:
            logger.warning("port %d is taken or not allowed: %s is on port %d", wanted, what, found)
        return found
    raise ServerError(f"no port is free on {host}")


def _bound_once(host: str, port: int) -> int:
    """Return the port that a socket was bound to, and is not any more; raises OSError."""
    with socket.socket(family_of(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def family_of(host: str) -> socket.AddressFamily:
    """Return what kind of socket listens on a host name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def address_of(host: str, port: int) -> str:
    """Return the URL of a server, an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_own_name(header: str, host: str, names: Collection[str]) -> bool:
    """Say whether a request's Host header names a server that listens on ``host`` and also goes by ``names``.

    A web page elsewhere can make a browser talk to this machine under a name of its own (DNS rebinding); the Host
    header gives it away. Loopback's names are always own ones; so are, for a server on all addresses of this machine,
    any address and this machine's name.
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:  # of what is no name
        return False
    if name in _LOOPBACK_NAMES or name in {own.lower() for own in (host, *names)}:
        return True
    return host in _WILDCARDS and (_is_address(name) or name == socket.gethostname().lower())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _wait_for(server: ChildServer, health: str) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while not _answers(health):
        server.check()
        if time.monotonic() > deadline:
            raise ServerError(f"{server.what} at {server.address} did not answer in {_START_LIMIT_S:.0f} s")
        time.sleep(0.1)


def _answers(address: str) -> bool:
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with local.open(address, timeout=5) as response:
            return bool(response.status == HTTPStatus.OK)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == HTTPStatus.UNAUTHORIZED
    except OSError:
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
