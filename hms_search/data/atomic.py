"""Files and folders that are either complete or not there: written under a temporary name beside it, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

TEMPORARY = ".partial"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes ``path``'s place at the end, and is removed after an error."""
    partial = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; it takes ``path``'s place at the end, and is removed after an error."""
    partial = path.with_name(f".{path.name}{TEMPORARY}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a ``.npy`` file."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(file, array, allow_pickle=False)
