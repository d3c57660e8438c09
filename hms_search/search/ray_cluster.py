"""A Ray cluster: joined or started, and what of it a worker gets."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from psutil import Process

from hms_search.errors import ConfigError, StudyError, TrackingError, without_password
from hms_search.search.executors import RayExecutor
from hms_search.tracking.address import sqlite_path

logger = logging.getLogger(__name__)

_SHORT = "/tmp"
"""Where a cluster's sockets lie if they may: their paths have 107 bytes at most, and ``TMPDIR`` may be longer."""
_SETTINGS = b"\4"
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0\0\0\0\0"
"""What begins HTTP/2, with empty settings; the other side begins with its own (RFC 9113, 3.4)."""
_FRAME_BYTES = 9
_PATIENCE_S = 10


@dataclass(frozen=True)
class Share:
    """What of a cluster each worker gets: the options of its actor, and the device that it sees."""

    options: dict[str, Any]
    device: str


@dataclass(frozen=True)
class Cluster:
    """A cluster as it was when it was joined: the hosts of its nodes, and what they have together."""

    hosts: frozenset[str]
    resources: dict[str, float]

    def share(self, executor: RayExecutor, count: int, device: str) -> Share:
        """Return what each of ``count`` workers gets; raises ConfigError where it would lack the device."""
        may_be_gpu = device == "auto" or device.startswith("cuda")
        gpus = executor.gpus if executor.gpus is not None else float(may_be_gpu and "GPU" in self.resources)
        if gpus == 0 and device.startswith("cuda"):
            raise ConfigError(f"device {device} needs a GPU for each worker, found none; --set executor.gpus=1, or cpu")
        memory = (executor.memory_gb or 0) * 2**30
        self._say_what_is_short({"CPU": executor.cpus, "GPU": gpus, "memory": memory}, count)
        options = {
            "num_cpus": executor.cpus,
            "num_gpus": gpus,
            "memory": memory or None,
            "max_concurrency": 2,  # it says that it is there while a call waits for a trial
            "max_restarts": 0,
            "scheduling_strategy": "SPREAD",
        }
        if device == "auto" and not gpus:
            return Share(options, "cpu")
        return Share(options, "cuda" if device.startswith("cuda") else device)  # which one, Ray says

    def _say_what_is_short(self, needs: dict[str, float], count: int) -> None:
        lacks = [name for name, need in needs.items() if count * need > self.resources.get(name, 0)]
        if lacks:
            what = ", ".join(f"{count * needs[name]:g} {name} of {self.resources.get(name, 0):g}" for name in lacks)
            logger.warning("%s workers need more than the Ray cluster has (%s): some wait for it", count, what)


@contextmanager
def joined(executor: RayExecutor) -> Iterator[Cluster]:
    """Be part of a cluster: that of the address, else one of this machine that is stopped at the end.

    Raises StudyError where it cannot be joined, or where others on it would be shown a password.
    """
    if executor.address is not None and any(without_password(word) != word for word in Process().cmdline()):
        raise StudyError(
            "a password stands in the command line, which Ray shows to everybody on the cluster; put the address into "
            "the environment: HMS_SEARCH_STORAGE, HMS_SEARCH_TRACKING_URI"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "hms-search"}
    short = _SHORT if os.access(_SHORT, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="hms-ray-", dir=short, ignore_cleanup_errors=True) as folder:
        if executor.address is not None:
            options |= {"address": executor.address}
        else:
            own = {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": folder}
            options |= own
        try:
            _reach(executor.address)
            ray.init(**options)
        except (OSError, RuntimeError, ValueError) as error:
            where = f"at {executor.address}" if executor.address else "of this machine"
            raise StudyError(
                f"the Ray cluster {where} cannot be joined: {' '.join(str(error).split())}; start one with "
                "`ray start --head`, name HOST:PORT of its head by --address, or leave that out for one of this machine"
            ) from error
        try:
            nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
            hosts = frozenset(node["NodeManagerHostname"] for node in nodes if node["Resources"].get("CPU"))
            yield Cluster(hosts, dict(ray.cluster_resources()))  # type: ignore[no-untyped-call]
        finally:
            ray.shutdown()


def refuse_file_elsewhere(tracking_uri: str, hosts: Iterable[str]) -> None:
    """Raise TrackingError where runs on some of the hosts would be kept in a file that is on this one."""
    others = sorted(set(hosts) - {socket.gethostname()})
    if others and sqlite_path(tracking_uri) is not None:
        raise TrackingError(
            f"the runs are kept in a file of this machine ({tracking_uri}), and the Ray cluster has nodes on "
            f"{', '.join(others)}, which cannot write to it; start an MLflow server and name it: "
            "--tracking-uri http://HOST:5000"
        )


def _reach(address: str | None) -> None:
    """Raise OSError where nothing listens, or what does is no Ray, which speaks HTTP/2; Ray would try for minutes."""
    host, _, port = (address or "auto").rpartition(":")
    if not host:
        return
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true") and not _greets(connection):
            raise ConnectionError("what listens there is no Ray cluster's head, whose port is 6379 as a rule")


def _greets(connection: socket.socket) -> bool:
    """Say whether what listens answers the beginning of HTTP/2 as it should."""
    try:
        connection.sendall(_GREETING)
        with connection.makefile("rb") as answer:
            return answer.read(_FRAME_BYTES)[3:4] == _SETTINGS
    except OSError:
        return False
