"""How findings are printed; this imports nothing that a broken installation could not."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hms_search.search.findings import Finding, worst_first
from hms_search.search.installation import library_findings, machine_findings

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def print_installation(root: Path, *, unseen: str) -> tuple[tuple[Finding, ...], bool]:
    """Print what is wrong with the installation; return it, and whether what needs its libraries can be looked at.

    Where that cannot be, ``unseen`` is said not to have been.
    """
    libraries, machine = library_findings(), machine_findings(root)
    found = worst_first((*libraries, *machine))
    print_findings("installation", found)
    works = not any(finding.severity == "error" for finding in libraries)
    if not works:
        words = f"{unseen}: not looked at, for want of the libraries above"
        Console(highlight=False, soft_wrap=True, emoji=False).print(words, style="yellow", markup=False)
    return found, works


def print_findings(where: str, found: Sequence[Finding]) -> None:
    """Print findings, each with its evidence and with what to change."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    if not found:
        console.print(f"{where}: nothing found", style="green", markup=False)
    for finding in found:
        style = _STYLES[finding.severity]
        console.print(f"{where}: {finding.severity}: {finding.what}", style=style, markup=False)
        console.print(f"    {finding.evidence}", markup=False)
        console.print(f"    -> {finding.change}", markup=False)


def print_counts(found: Sequence[Finding]) -> int:
    """Print how many findings there are of each severity; return the exit code, 2 where there is an error."""
    counts = {severity: sum(finding.severity == severity for finding in found) for severity in _STYLES}
    Console(highlight=False, emoji=False).print(
        ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())
    )
    return 2 if counts["error"] else 0
