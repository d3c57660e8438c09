"""A real PostgreSQL server for the tests, from Debian's package."""

import os
import shutil
import socket
import subprocess
import tempfile
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
def postgres_server(address: str = "127.0.0.1") -> Iterator[PostgresServer]:
    """Run a fresh server that listens at an address of this machine, by a user that is not root."""
    with postgres_cluster(address) as server:
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def postgres_cluster(address: str) -> Iterator[PostgresServer]:
    """Give a fresh server that has not been started, for an address of this machine or of another host's."""
    binaries = postgres_binaries()  # fails or skips where there are none
    user = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hms-search-postgres-") as folder:  # pytest's own let no other user in
        cluster = Path(folder)
        if user is not None:
            shutil.chown(cluster, user)
        server = PostgresServer(binaries, cluster, port, user, address)
        server.call("initdb", "-D", str(cluster), "-U", "hms", "--auth=trust", "--no-sync")
        with (cluster / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")
        yield server


def postgres_binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else lacking("no PostgreSQL server here: install Debian's package postgresql")
