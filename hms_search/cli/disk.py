"""How the use of a disk is printed."""

from collections.abc import Mapping

from rich.console import Console


def print_disk_use(found: Mapping[str, int]) -> None:
    """Print what a study takes of the disk, in one line."""
    parts = ", ".join(f"{n_bytes / 1e6:,.1f} MB {what}" for what, n_bytes in found.items())
    Console(highlight=False, soft_wrap=True, emoji=False).print(f"on disk: {parts}")
