"""What is wrong inside a recording's file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hms_search.data.findings import Finding, Severity
from hms_search.data.hms import FOLDERS, LARGEST_UV, Kind, check_times, matrix_of, power_of, read_batch
from hms_search.errors import DataError

MUCH_MISSING = 0.5


@dataclass(frozen=True)
class Inspection:
    """A file's rows, missing share and findings; ``n_rows`` is None where it cannot be read."""

    kind: Kind
    recording_id: int
    n_bytes: int
    n_rows: int | None
    nan_share: float
    findings: tuple[Finding, ...]


def inspect_all(files: Sequence[tuple[Kind, Path, int]]) -> list[Inspection]:
    """Return the inspections of some files, each given with its size."""
    return [inspect(kind, path, n_bytes) for kind, path, n_bytes in files]


def inspect(kind: Kind, path: Path, n_bytes: int) -> Inspection:
    """Return everything that is wrong with one file."""
    where = f"{FOLDERS[kind]}/{path.name}"
    try:
        batch = read_batch(path, kind)
    except DataError as error:
        finding = Finding("error", where, str(error))
        return Inspection(kind, int(path.stem), n_bytes, None, 0.0, (finding,))
    problems: list[tuple[Severity, str]] = []
    if kind == "spectrogram":
        try:
            check_times(path, batch)
        except DataError as error:
            problems.append(("error", str(error)))
        values = power_of(batch)
    else:
        values = matrix_of(batch)
    nan_share = float(np.isnan(values).mean())
    problems += _value_problems(kind, values, nan_share)
    findings = tuple(Finding(severity, where, message) for severity, message in problems)
    return Inspection(kind, int(path.stem), n_bytes, len(values), nan_share, findings)


def _value_problems(
    kind: Kind, values: Float[np.ndarray, "rows columns"], nan_share: float
) -> Iterator[tuple[Severity, str]]:
    if nan_share == 1.0:
        yield "error", "every value is missing (NaN)"
        return
    if nan_share > MUCH_MISSING:
        yield "warning", f"{nan_share:.0%} of the values are missing (NaN)"
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    if np.isinf([lowest, highest]).any():
        yield "warning", "some values are infinite"
    if kind == "spectrogram" and lowest < 0:
        yield "error", f"expected power >= 0, found {lowest:g}"
    if kind == "eeg" and max(-lowest, highest) > LARGEST_UV:
        yield "note", f"values from {lowest:g} to {highest:g} microvolts are clipped to +-{LARGEST_UV:g} in the Store"
