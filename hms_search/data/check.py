"""Check a data folder and report everything wrong with it at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hms_search.data.check_recordings import Inspection, inspect_all
from hms_search.data.check_table import checked_table, file_findings, window_findings
from hms_search.data.findings import Finding, few, sorted_findings
from hms_search.data.hms import FOLDERS, KINDS, Kind
from hms_search.data.pool import Pool, default_workers
from hms_search.data.progress import Progress, ignore
from hms_search.data.source import scan

FILES_PER_TASK = 16


@dataclass(frozen=True)
class CheckReport:
    """What a data folder holds and all findings, errors first."""

    root: Path
    n_rows: int
    n_files: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no error among the findings."""
        return not any(finding.severity == "error" for finding in self.findings)


def check(root: Path, *, workers: int | None = None, on_progress: Callable[[Progress], None] = ignore) -> CheckReport:
    """Return everything that is wrong with a data folder in the Kaggle layout; every recording is read.

    Raises DataError only where there is no folder or no ``train.csv`` in it.
    """
    source = scan(root)
    findings: list[Finding] = []
    table = checked_table(root, findings)
    if table is not None:
        findings += file_findings(table, source)
    files = [(kind, stamp.path, stamp.n_bytes) for kind in KINDS for _, stamp in sorted(source.files[kind].items())]
    tasks = [files[i : i + FILES_PER_TASK] for i in range(0, len(files), FILES_PER_TASK)]
    inspections: list[Inspection] = []
    done_bytes, total_bytes = 0, sum(n_bytes for _, _, n_bytes in files)
    on_progress(Progress(0, len(files), 0, total_bytes))
    with Pool(workers or default_workers(len(tasks))) as pool:
        for inspected in pool.run(inspect_all, tasks):
            inspections += inspected
            done_bytes += sum(inspection.n_bytes for inspection in inspected)
            on_progress(Progress(len(inspections), len(files), done_bytes, total_bytes))
    for kind in KINDS:
        of_kind = [inspection for inspection in inspections if inspection.kind == kind]
        findings += _recording_findings(kind, of_kind)
        if table is not None:
            lengths = {i.recording_id: i.n_rows for i in of_kind if i.n_rows is not None}
            findings += window_findings(table, kind, lengths)
    return CheckReport(
        root=root,
        n_rows=0 if table is None else len(table),
        n_files={kind: len(source.files[kind]) for kind in KINDS},
        findings=sorted_findings(findings),
    )


def _recording_findings(kind: Kind, inspections: Sequence[Inspection]) -> list[Finding]:
    findings = [finding for inspection in inspections for finding in inspection.findings]
    gaps = sorted(i.recording_id for i in inspections if 0 < i.nan_share < 1)
    if gaps:
        message = f"{len(gaps)} of {len(inspections)} files have missing values (NaN): {few(gaps)}"
        findings.append(Finding("note", FOLDERS[kind], message))
    return findings
