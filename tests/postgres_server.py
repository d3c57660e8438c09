"""A real PostgreSQL server for the tests, from Debian's package."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def serve_postgres(binaries: Path, cluster: Path) -> Iterator[str]:
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(cluster, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(*command: str) -> None:
        subprocess.run(
            [str(binaries / command[0]), *command[1:]],
            check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip

    call("initdb", "-D", str(cluster), "-U", "hms", "--auth=trust", "--no-sync")
    options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    call("pg_ctl", "-D", str(cluster), "-o", options, "-l", str(cluster / "log"), "-w", "start")
    try:
        yield f"postgresql://hms@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(cluster), "-m", "immediate", "-w", "stop")


def postgres_binaries() -> Path:
    for initdb in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True):
        return initdb.parent
    message = "no PostgreSQL server here: install Debian's package postgresql"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
