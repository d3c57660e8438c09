"""What a result depends on besides its configuration: versions of the code and of the libraries under it."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "optuna", "mlflow")
UNKNOWN_COMMIT = "unknown"


def versions() -> dict[str, str]:
    """Return the versions of hms_search, Python and the libraries that shape a result, read without importing them."""
    found = {"hms_search": version("hms-search"), "python": platform.python_version()}
    return found | {name: version(name) for name in _LIBRARIES}


def code_tags() -> dict[str, str]:
    """Return :func:`versions` and :func:`git_commit` as the tags that runs and models carry."""
    return {**{f"version_{name}": number for name, number in versions().items()}, "git_commit": git_commit()}


def git_commit(path: Path = Path(__file__)) -> str:
    """Return the commit a file is checked out from, ``-dirty`` appended where tracked files differ from it.

    Returns ``"unknown"`` where the file is not under git's control, so that an installed copy does not carry the
    commit of whatever repository its environment happens to lie in.
    """
    tracked = _git(path, "ls-files", "--error-unmatch", path.name)
    described = _git(path, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") if tracked else None
    return described or UNKNOWN_COMMIT


def _git(path: Path, *command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(path.parent), *command], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
