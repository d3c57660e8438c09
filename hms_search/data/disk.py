"""How much of a disk files take."""

from contextlib import suppress
from pathlib import Path


def bytes_in(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; 0 where there is none, or it goes meanwhile."""
    total = 0
    for file in (path, *path.rglob("*")) if path.is_dir() else (path,):
        with suppress(FileNotFoundError):
            total += 0 if file.is_dir() or file.is_symlink() else file.stat().st_size
    return total


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is gone already is well gone."""
    for file in sorted(path.rglob("*"), reverse=True) if path.is_dir() and not path.is_symlink() else ():
        with suppress(FileNotFoundError):
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    with suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
