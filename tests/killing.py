"""Processes killed as where a machine fails: at once, and whether or not they have just ended by themselves."""

from contextlib import suppress

import psutil


def kill(process: psutil.Process) -> None:
    """Kill a process, unless it has ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def kill_family(pid: int) -> None:
    """Kill a process first, then all that it and its children had started."""
    first = psutil.Process(pid)
    for process in (first, *first.children(recursive=True)):
        kill(process)
