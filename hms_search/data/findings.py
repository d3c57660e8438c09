"""Findings about a data folder: how bad, where, and what."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something found: an error makes rows or files unusable, a warning is used but doubtful, a note is neither."""

    severity: Severity
    where: str
    message: str


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings, errors first, then by place."""
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.where, f.message)))


def few(things: Iterable[object], limit: int = 5) -> str:
    """Return the first things in words, and how many more there are."""
    words = [str(thing) for thing in things]
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more
