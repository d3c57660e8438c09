"""A real virtual environment with what Kaggle surely has and nothing else, and without a network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

from packaging.requirements import Requirement

LIBRARIES = ("torch", "timm", "numpy", "pandas", "pyarrow")
NOTHING: Mapping[str, str] = MappingProxyType({})
OFFLINE = """\
import socket


def refuse(*arguments, **options):
    raise OSError("this environment has no network")


socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
"""


@dataclass(frozen=True)
class Environment:
    """A Python that can import some libraries only."""

    python: Path

    def run(
        self, *arguments: str | Path, code: int = 0, variables: Mapping[str, str] = NOTHING
    ) -> "subprocess.CompletedProcess[str]":
        """Run Python in a folder that does not matter; its exit code must be ``code``."""
        environment = {"PATH": os.defpath, "HOME": str(self.python.parent), "OMP_NUM_THREADS": "1", **variables}
        command = [*_without_network(), self.python, *arguments]
        done = subprocess.run(
            command, cwd=self.python.parent, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done


def slim_environment(folder: Path, libraries: Sequence[str] = LIBRARIES) -> Environment:
    """Make the environment: links to the installed files of the libraries and of all that they require."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for found in _with_requirements(libraries).values():
        for name in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(found.locate_file(name))))
    (site / "sitecustomize.py").write_text(OFFLINE)
    return Environment(folder / "bin" / "python")


def _with_requirements(libraries: Sequence[str]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    waiting = list(libraries)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of another platform
            continue
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _without_network() -> list[str]:
    """Return how to start a process in a network namespace of its own, nothing where that is not permitted."""
    unshare = shutil.which("unshare")
    command = [unshare, "--map-root-user", "--net"] if unshare else []
    return command if command and subprocess.run([*command, "true"], capture_output=True).returncode == 0 else []
