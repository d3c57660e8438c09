"""A small disk of its own, to be filled: a tmpfs in a mount namespace that needs no rights, with what runs in it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lacking import lacking

_MOUNTED = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


def on_small_disk(folder: Path, size: str, script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python script where ``folder`` is an empty disk of so many bytes (``8m``); it is gone at the end."""
    command = on_disk_of_its_own(folder, size, sys.executable, "-c", script)
    known: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        command, cwd=folder.parent, env=known, capture_output=True, text=True, timeout=280, check=False
    )


def on_disk_of_its_own(folder: Path, size: str, *command: str) -> list[str]:
    """Return a command that runs another where ``folder`` is an empty disk."""
    if not _may_mount(folder):
        lacking("no disk of its own can be mounted here: neither as this user nor in a user namespace")
    return [*_NAMESPACE, "sh", "-c", _MOUNTED, "sh", size, str(folder), *command]


_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _may_mount(folder: Path) -> bool:
    trial = [*_NAMESPACE, "sh", "-c", _MOUNTED, "sh", "1m", str(folder), "true"]
    return subprocess.run(trial, capture_output=True, timeout=60, check=False).returncode == 0
