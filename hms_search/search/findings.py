"""What is wrong with a study or an installation: how bad, what, what shows it, and what to change."""

from collections.abc import Iterable
from dataclasses import dataclass

from hms_search.data.findings import SEVERITIES, Severity


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes
    ----------
    severity
        error: results are lost or wrong; warning: trials are probably being wasted; note: worth knowing.
    what
        The same words whenever it is found again, so that it can be said once.
    evidence
        The figures that show it.
    change
        The line of YAML, or the command, that would mend it.
    """

    severity: Severity
    what: str
    evidence: str
    change: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings by severity."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
