"""The doctor of the installation: libraries that do not belong together, and a machine that will stop a study.

PyTorch and all that builds on it are looked at from outside, so that this can be said where importing them fails.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from hms_search.host_processors import processor_quota, shown_processors
from hms_search.search.findings import Finding, worst_first

VersionOf = Callable[[str], str | None]

_DISTRIBUTION = "hms-search"
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_GPU_DEVICE = Path("/dev/nvidia0")
_NEEDED_GB, _COMFORTABLE_GB = 1.0, 10.0
"""A quickstart takes 1 GB under mlruns (README); the baked images of the whole competition take 4.5 GB and its Store
more."""


def library_findings() -> tuple[Finding, ...]:
    """Return what is wrong with the libraries, worst first; with an error nothing can be imported that needs them."""
    needed = requirements()
    return worst_first(
        [
            *torch_pair(installed, requires("torchvision") if installed("torchvision") else None, _import_error),
            *outdated(needed[""], installed),
            *missing_extras(needed, installed),
        ]
    )


def machine_findings(root: Path) -> tuple[Finding, ...]:
    """Return what is wrong with the machine that ``root`` lies on, worst first."""
    free_gb = shutil.disk_usage(_existing(root)).free / 1e9
    return worst_first(
        [
            *disk_space(root, free_gb),
            *processors(shown_processors(), processor_quota(), os.environ.get("OMP_NUM_THREADS")),
            *idle_gpu(installed("torch"), has_gpu=_GPU_DEVICE.exists()),
        ]
    )


def installed(name: str) -> str | None:
    """Return a distribution's version, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def requirements() -> Mapping[str, tuple[Requirement, ...]]:
    """Return what is needed, by extra; ``""`` is what is always needed.

    From ``pyproject.toml`` where this is a checkout, since the metadata of an editable installation grows stale.
    """
    if _PROJECT.is_file():
        project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
        extras = {"": project["dependencies"], **project["optional-dependencies"]}
        return {extra: tuple(Requirement(text) for text in texts) for extra, texts in extras.items()}
    found: dict[str, tuple[Requirement, ...]] = {"": ()}
    for requirement in map(Requirement, requires(_DISTRIBUTION) or ()):
        extra = "" if requirement.marker is None else str(requirement.marker).partition("extra == ")[2].strip("\"'")
        found[extra] = (*found.get(extra, ()), requirement)
    return found


def torch_pair(
    version_of: VersionOf, torchvision_needs: Iterable[str] | None, import_error: Callable[[str], str]
) -> Iterator[Finding]:
    """Find a torchvision that was not built for this torch: importing timm then fails with a missing operator."""
    torch, torchvision = version_of("torch"), version_of("torchvision")
    if torch is None or torchvision is None:
        return  # said by the requirements
    builds = Version(torch).local, Version(torchvision).local
    unmet = [
        need for need in map(Requirement, torchvision_needs or ()) if need.name == "torch" and not _met(need, torch)
    ]
    failure = import_error("torchvision")
    if failure or unmet or builds[0] != builds[1]:
        why = f"importing torchvision fails: {failure}" if failure else "their builds or versions differ"
        yield Finding(
            "error" if failure else "warning",
            "torch and torchvision do not belong together",
            f"torch {torch}, torchvision {torchvision}; {why}",
            "install both anew, unpinned and from one index: pip install --force-reinstall torch torchvision",
        )


def outdated(needed: Iterable[Requirement], version_of: VersionOf, *, extra: str = "") -> Iterator[Finding]:
    """Find libraries that are missing or of a version that was not meant."""
    for requirement in needed:
        found = version_of(requirement.name)
        if found is not None and _met(requirement, found):
            continue
        named = f"{_DISTRIBUTION}[{extra}]" if extra else _DISTRIBUTION
        yield Finding(
            "warning" if extra else "error",
            f"{requirement.name} is {'missing' if found is None else 'of another version'}",
            f"{named} needs {requirement.name}{requirement.specifier}, found {found or 'none'}",
            f"pip install '{requirement.name}{requirement.specifier}'",
        )


def missing_extras(needed: Mapping[str, tuple[Requirement, ...]], version_of: VersionOf) -> Iterator[Finding]:
    """Find extras of which nothing, or only a part, is installed; and what is installed in another version."""
    for extra, all_of_it in needed.items():
        if extra in ("", "dev"):
            continue
        missing = [requirement.name for requirement in all_of_it if version_of(requirement.name) is None]
        if missing:
            yield Finding(
                "note",
                f"the extra {extra} is not installed",
                f"missing: {', '.join(missing)}",
                f"if it is wanted: pip install '{_DISTRIBUTION}[{extra}]'",
            )
        there = [requirement for requirement in all_of_it if requirement.name not in missing]
        yield from outdated(there, version_of, extra=extra)


def disk_space(root: Path, free_gb: float) -> Iterator[Finding]:
    """Find a disk that will soon be full."""
    if free_gb < _COMFORTABLE_GB:
        yield Finding(
            "error" if free_gb < _NEEDED_GB else "warning",
            "the disk is nearly full",
            f"{free_gb:.1f} GB are free where {root} lies",
            "free some space, or run where there is more; what a study will take: hms-search plan STUDY.yaml",
        )


def processors(cores: int, quota: float | None, threads: str | None) -> Iterator[Finding]:
    """Find more threads than processors, which wait for each other."""
    allowed = min(cores, quota) if quota is not None else float(cores)
    wanted = int(threads) if threads is not None and threads.isdigit() else cores
    if wanted > max(1.0, allowed):
        set_by = f"OMP_NUM_THREADS is {threads}" if threads else f"the machine shows {cores}, which PyTorch will use"
        yield Finding(
            "warning",
            "there are more threads than processors",
            f"{allowed:g} processors may be used; {set_by}",
            f"OMP_NUM_THREADS={max(1, int(allowed))}",
        )


def idle_gpu(torch: str | None, *, has_gpu: bool) -> Iterator[Finding]:
    """Find a PyTorch for CPUs on a machine with a GPU."""
    if has_gpu and torch is not None and Version(torch).local == "cpu":
        yield Finding(
            "warning",
            "the GPU is not used",
            f"torch {torch} is built for CPUs, and there is a GPU",
            "pip install --force-reinstall torch torchvision",
        )


def _met(requirement: Requirement, found: str) -> bool:
    """Say whether a version is one that is meant; what was built for is no part of it."""
    return requirement.specifier.contains(Version(found).public, prereleases=True)


def _import_error(module: str) -> str:
    """Return the last line of what importing a module raises in a process of its own, or nothing."""
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines or [f"exit code {done.returncode}"])[-1]


def _existing(path: Path) -> Path:
    """Return the folder itself or the nearest one above it that is there."""
    path = path.resolve()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
