"""Where the studies of ``scale.py`` lie: in files of their own, or on a PostgreSQL server started for them."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hms_search.search.places import Places

Databases = Callable[[str], Places]
"""Returns the stores of a name, the same each time it is asked."""


def served_per_second(places: Places) -> Iterator[float]:
    """Yield how many statements a server takes per second from eight clients, as pgbench counts; of a file, nothing.

    A transaction of three statements as of an epoch that is judged: the trial, its curve, a value written.
    """
    if places.storage_url is None:
        return
    host, _, database = places.storage_url.partition("@")[2].partition("/")
    script = Path(places.root.parent) / "epoch.sql"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_EPOCH)
    pgbench = max(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    address = [*("-h", host.partition(":")[0]), *("-p", host.partition(":")[2]), *("-U", "hms"), database]
    load = ["-n", *("-c", "8"), *("-j", "2"), *("-T", "5"), *("-f", str(script))]
    said = subprocess.run([str(pgbench), *load, *address], check=True, capture_output=True, text=True).stdout
    yield 3 * float(next(line.split()[2] for line in said.splitlines() if line.startswith("tps")))


_EPOCH = """\\set id random(1, 100)
BEGIN;
SELECT trial_id, state FROM trials WHERE trial_id = :id;
SELECT step, intermediate_value FROM trial_intermediate_values WHERE trial_id = :id;
UPDATE trial_user_attributes SET value_json = value_json WHERE trial_id = :id AND key = 'seconds';
COMMIT;
"""


@contextmanager
def embedded(folder: Path) -> Iterator[Databases]:
    """Give stores in files."""
    yield cache(lambda name: Places(folder / name / "mlruns"))


@contextmanager
def postgresql(folder: Path) -> Iterator[Databases]:
    """Give two databases per name, the study's and MLflow's, on a server that writes as carefully as is usual."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
    user = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(*command: str) -> None:
        line = [str(binaries / command[0]), *command[1:]]
        subprocess.run(line, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, timeout=120)

    @cache
    def places(name: str) -> Places:
        for database in (name, f"{name}_runs"):
            call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "hms", database)
        address = f"postgresql+psycopg://hms@127.0.0.1:{port}/{name}"
        return Places(folder / name / "mlruns", storage_url=address, tracking=f"{address}_runs")

    with tempfile.TemporaryDirectory() as cluster:
        if user is not None:
            shutil.chown(cluster, user)
        call("initdb", "-D", cluster, "-U", "hms", "--auth=trust")
        options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
        call("pg_ctl", "-D", cluster, "-o", options, "-l", f"{cluster}/log", "-w", "start")
        try:
            yield places
        finally:
            call("pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
