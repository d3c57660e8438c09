"""The processors a process may use, on this machine and in containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hms_search import host_processors
from hms_search.host_processors import processor_quota, threads_of_each, usable_processors

QUICKSTART = Path(__file__).parents[1] / "studies" / "quickstart.yaml"
PRELOADED = "import hms_search.search.fork_server"


@pytest.mark.parametrize(("text", "quota"), [("max 100000", None), ("150000 100000", 1.5), ("800000 100000", 8.0)])
def test_a_quota_is_read_as_linux_writes_it(text: str, quota: float | None, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{text}\n")
    assert processor_quota(file) == quota


def test_where_nothing_limits_a_process_there_is_no_quota(tmp_path: Path) -> None:
    assert processor_quota(tmp_path / "cpu.max") is None


@pytest.mark.parametrize(("shown", "quota", "usable"), [(8, None, 8), (64, 2.5, 2), (2, 8.0, 2), (4, 0.5, 1)])
def test_usable_is_what_affinity_and_quota_leave(
    shown: int, quota: float | None, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_processors, "shown_processors", lambda: shown)
    monkeypatch.setattr(host_processors, "processor_quota", lambda: quota)
    assert usable_processors() == usable


@pytest.mark.parametrize(
    ("n_processes", "asked", "threads"),
    [(1, None, 8), (3, None, 2), (20, None, 1), (1, "3", 3), (4, "3", 2), (1, "0", 8), (1, "4,2", 8), (1, "", 8)],
)
def test_processes_share_what_is_usable_and_heed_what_is_asked(
    n_processes: int, asked: str | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_processors, "usable_processors", lambda: 8)
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads_of_each(n_processes) == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_a_process_that_is_bound_to_one_processor_uses_one() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from hms_search.host_processors import usable_processors; print(usable_processors())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "1\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP is that of PyTorch for Linux")
@pytest.mark.parametrize(
    ("said", "turns"), [({}, "5000"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0"), ({"GOMP_SPINCOUNT": "70"}, "70")]
)
@pytest.mark.parametrize("program", [["-m", "hms_search", "validate", str(QUICKSTART)], ["-c", PRELOADED]])
def test_threads_of_commands_and_workers_wait_briefly_unless_told_otherwise(
    program: list[str], said: dict[str, str], turns: str
) -> None:
    waiting = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in waiting}
    ran = subprocess.run(
        [sys.executable, *program],
        env={**environment, **said, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = {line.strip() for line in ran.stderr.splitlines() if "GOMP_SPINCOUNT" in line}
    assert shown == {f"GOMP_SPINCOUNT = '{turns}'"}
