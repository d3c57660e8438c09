"""What several tests share: the real recordings beside the repository, and one thread per process."""

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # two test processes with two threads each on two cores wait for each other

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings and curves; skipped where absent, but never in CI."""
    if not SHARED_DATA.is_dir():
        message = f"the real recordings are not beside the repository: no folder {SHARED_DATA}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return SHARED_DATA
