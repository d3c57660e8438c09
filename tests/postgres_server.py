"""A real PostgreSQL server for the tests, from Debian's package."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lacking import lacking


@dataclass(frozen=True)
class PostgresServer:
    """A cluster of its own in a folder, which can be stopped and started."""

    binaries: Path
    cluster: Path
    port: int
    user: str | None
    address: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"postgresql://hms@{self.address}:{self.port}/postgres"

    @property
    def options(self) -> str:
        return f"-c port={self.port} -c listen_addresses={self.address} -c unix_socket_directories= -c fsync=off"

    def start(self) -> None:
        log = str(self.cluster / "log")
        self.call("pg_ctl", "-D", str(self.cluster), "-o", self.options, "-l", log, "-w", "start")

    def stop(self) -> None:
        """End it at once, connections and all."""
        self.call("pg_ctl", "-D", str(self.cluster), "-m", "immediate", "-w", "stop")

    def call(self, *command: str) -> None:
        subprocess.run(
            [str(self.binaries / command[0]), *command[1:]],
            check=True, user=self.user, cwd="/", stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip


@contextmanager
def postgres_server(cluster: Path, address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """Run a server that listens at an address of this machine."""
    server = new_cluster(cluster, address)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def new_cluster(cluster: Path, address: str) -> PostgresServer:
    """Return a server that has not been started, for an address of this machine or of another host's."""
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(cluster, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = PostgresServer(postgres_binaries(), cluster, port, user, address)
    server.call("initdb", "-D", str(cluster), "-U", "hms", "--auth=trust", "--no-sync")
    with (cluster / "pg_hba.conf").open("a") as file:
        file.write("host all all samenet trust\n")
    return server


def postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else lacking("no PostgreSQL server here: install Debian's package postgresql")
