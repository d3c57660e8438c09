"""Preparing when the process is killed, the disk is full or a worker dies: in real processes."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hms_search.data.pool import Pool
from hms_search.data.prepare import prepare
from hms_search.data.sampling import SpectrogramSampling
from hms_search.data.store import Store
from hms_search.errors import DataError

PREPARE_SLOWLY = """
import sys, time
from pathlib import Path
from hms_search.data.prepare import prepare

def report(progress):
    print(progress.done, flush=True)
    if progress.done >= 16:
        time.sleep(60)

if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]), on_progress=report)
"""
PREPARE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from hms_search.data.prepare import prepare
from hms_search.errors import DataError

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    prepare(Path(sys.argv[1]), Path(sys.argv[2]), workers=1)
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_prepare_goes_on_where_it_stopped_and_leaves_no_worker_behind(small, tmp_path, workers):
    store = tmp_path / "store"
    prepare(small.root, store, workers=1)
    for path in small.root.rglob("*.parquet"):
        os.utime(path)  # stale: everything is to be done again
    script = tmp_path / "prepare_slowly.py"
    script.write_text(PREPARE_SLOWLY)
    command = [sys.executable, str(script), str(small.root), str(store), str(workers)]
    started_ns = time.time_ns()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 16:
            pass
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    with pytest.raises(DataError, match="no Store"):
        Store.open(store, SpectrogramSampling())
    finished = {path: path.stat().st_mtime_ns for path in (store / "shards").glob("*.npz")}
    finished = {path: written for path, written in finished.items() if written > started_ns}
    assert 2 <= len(finished) < 6
    report = prepare(small.root, store, workers=1)
    assert report.reused_shards == len(finished)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    prepare(small.root, tmp_path / "uninterrupted", workers=1)
    fingerprints = {Store.open(path, SpectrogramSampling()).fingerprint for path in (store, tmp_path / "uninterrupted")}
    assert len(fingerprints) == 1


def test_a_full_disk_is_one_clear_line_and_leaves_no_store(small, tmp_path):
    store = tmp_path / "store"
    command = [sys.executable, "-c", PREPARE_ON_A_FULL_DISK, str(small.root), str(store)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr == ""
    assert result.stdout.startswith(f"cannot write the Store {store}: File too large")
    assert len(result.stdout.splitlines()) == 1
    assert [path.name for path in (store / "shards").iterdir()] == []
    assert prepare(small.root, store, workers=1).n_rows == 20


def die(task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def fail(task: int) -> int:
    if task == 3:
        raise DataError("task 3 is bad")
    time.sleep(0.01)
    return task


def test_a_worker_that_dies_is_an_error_and_not_an_endless_wait():
    with pytest.raises(DataError, match="exit code -9"), Pool(2) as pool:
        list(pool.run(die, range(10)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_where_the_work_was_asked_for(workers):
    with pytest.raises(DataError, match="task 3 is bad"), Pool(workers) as pool:
        list(pool.run(fail, range(10)))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once(workers):
    with Pool(workers) as pool:
        assert sorted(pool.run(abs, range(-20, 0))) == list(range(1, 21))
        assert list(pool.run(abs, [])) == []
