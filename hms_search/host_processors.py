"""How many processors a process may use, and how its threads wait for each other on them.

It may use those of its machine that its affinity and its container's quota leave it.

A thread of GNU OpenMP, which PyTorch computes with on Linux, that waits for the others spins for milliseconds before it
sleeps. Where another process computes, too, it so keeps the threads that it waits for from their processor: of two
trainings beside each other on two processors, each was 50 times as slow as alone (``benchmarks/waiting.py``).
"""

import os
from collections.abc import MutableMapping
from pathlib import Path

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_SPINS = 5_000
"""Turns of the loop in which a thread waits, of GNU's 300,000: enough for all waits of a training that is alone."""


def shown_processors() -> int:
    """Return how many processors this process sees, as PyTorch does: those of its affinity, which Slurm narrows."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # macOS has none


def processor_quota(file: Path = _CPU_QUOTA) -> float | None:
    """Return how many processors' time a container may use, None where there is no limit."""
    if not file.is_file():
        return None
    allowed, period = file.read_text().split()
    return None if allowed == "max" else int(allowed) / int(period)


def usable_processors() -> int:
    """Return how many processes, or threads, can compute at a time without waiting for each other; one at least."""
    shown, quota = shown_processors(), processor_quota()
    return shown if quota is None else max(1, min(shown, int(quota)))


def threads_of_each(n_processes: int) -> int:
    """Return how many threads each of some processes that compute beside each other should use.

    A share of what is usable, one at least; fewer where the variable ``OMP_NUM_THREADS`` says so, as PyTorch heeds it.
    """
    share = max(1, usable_processors() // n_processes)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdigit() and int(asked) else share


def wait_briefly(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads that wait for each other soon sleep, in this process and those it starts with its ``environment``.

    It must not have imported PyTorch yet. What the variables ``OMP_WAIT_POLICY`` and ``GOMP_SPINCOUNT`` say is heeded.
    """
    if not environment.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        environment["GOMP_SPINCOUNT"] = str(_SPINS)
