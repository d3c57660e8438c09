"""What several tests share: the real recordings beside the repository, and one thread per process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lacking import lacking
from postgres_server import postgres_server

from hms_search.host_memory import collect_rarely, keep_freed_memory

keep_freed_memory()  # as the platform's own processes do
collect_rarely()
os.environ["OMP_NUM_THREADS"] = "1"  # two test processes with two threads each on two cores wait for each other

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and curves; skipped where absent, but never in CI."""
    if not SHARED_DATA.is_dir():
        lacking(f"the real recordings are not beside the repository: no folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A fresh PostgreSQL server on a free loopback port, run by a user that is not root."""
    with postgres_server() as server:
        yield server.url
