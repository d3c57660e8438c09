"""Seizures of eight types as samples: files of FFT samples and their labels, held in memory.

2,012 files of the TUH corpus as the hackathon had them are some 200 MB, so nothing is prepared.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32, Int, Integer

from hms_search.component import fingerprint_of
from hms_search.data.check import CheckReport
from hms_search.data.fft_samples import read_fft_samples
from hms_search.data.findings import Finding, few, sorted_findings
from hms_search.data.labels import SEIZURE_TYPES, TaskName
from hms_search.data.progress import Progress, ignore
from hms_search.data.seizure_labels import LABELS, label_findings, read_labels, wrong_path
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError

_RARE = 5
"""Fewer files of a type than the published protocol has folds."""
_SHOWN = 20


@dataclass(frozen=True, eq=False, repr=False)
class SeizureTypes:
    """Files of a folder as samples, in the order of its ``labels.csv``; read with :meth:`open`.

    Attributes
    ----------
    fingerprint
        12 hex digits of labels, patients and samples; the same for a copied folder.
    samples
        One line per file: ``sample_id`` (its place), ``file``, ``label``, ``patient``, ``patient_id`` (a number for
        each patient) and ``consensus`` (the type's place in :data:`hms_search.data.labels.SEIZURE_TYPES`).
    targets
        ``[samples, 8]``, 1 for the file's type.
    """

    root: Path
    fingerprint: str
    samples: pd.DataFrame
    targets: Float[np.ndarray, "samples 8"]
    _values: Float32[np.ndarray, "windows 20 24"]
    _starts: Int[np.ndarray, " ends"]

    @classmethod
    def open(cls, root: Path, *, on_progress: Callable[[Progress], None] = ignore) -> "SeizureTypes":
        """Return the files of a folder; raises DataError naming everything that is wrong with it, one line each."""
        table, arrays, findings = _read(root, on_progress)
        errors = [f"{finding.where}: {finding.message}" for finding in findings if finding.severity == "error"]
        if errors:
            more = [f"and {len(errors) - _SHOWN} more"] if len(errors) > _SHOWN else []
            raise DataError("\n".join([f"{root}: {len(errors)} faults", *errors[:_SHOWN], *more]))
        types = np.array([SEIZURE_TYPES.index(label) for label in table["label"]])
        samples = table.assign(
            sample_id=np.arange(len(table)),
            patient_id=np.unique(table["patient"].to_numpy(dtype=str), return_inverse=True)[1],
            consensus=types,
        )
        values = np.concatenate(arrays)
        starts = np.cumsum([0, *map(len, arrays)])
        written = [table["file"].tolist(), table["label"].tolist(), table["patient"].tolist(), starts.tolist()]
        return cls(
            root=root,
            fingerprint=fingerprint_of([*written, hashlib.sha256(values.tobytes()).hexdigest()]),
            samples=samples,
            targets=np.eye(len(SEIZURE_TYPES))[types],
            _values=values,
            _starts=starts,
        )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def task(self) -> TaskName:
        """Eight types of seizures."""
        return "seizure_types"

    @property
    def votes(self) -> Int[np.ndarray, "samples 8"]:
        """One vote per file, for its type."""
        return self.targets.astype(np.int64)

    @property
    def sample_ids(self) -> Int[np.ndarray, " samples"]:
        """The place of each file in the table."""
        return np.arange(len(self))

    @property
    def groups(self) -> Int[np.ndarray, " samples"]:
        """A group per file: an epoch sees all of them."""
        return np.arange(len(self))

    @property
    def high(self) -> Bool[np.ndarray, " samples"]:
        """False throughout: there are no vote strata."""
        return np.zeros(len(self), dtype=bool)

    @property
    def scored(self) -> Bool[np.ndarray, " samples"]:
        """True throughout: every file may be validated."""
        return np.ones(len(self), dtype=bool)

    @property
    def patients(self) -> Int[np.ndarray, " samples"]:
        """The number of each file's patient."""
        numbers: np.ndarray = self.samples["patient_id"].to_numpy(dtype=np.int64)
        return numbers

    @property
    def left_out(self) -> dict[str, int]:
        """Lines of the table that reach no sample, by reason: none."""
        return {}

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return a file's FFT samples ``[samples, 20, 24]``, log10 magnitudes."""
        return {"fft": self._values[self._starts[row] : self._starts[row + 1]]}

    def histograms(self) -> Integer[np.ndarray, "samples counts"]:
        """Raise DataError: there are no spectrograms."""
        raise DataError(f"{self.root} holds FFT samples, no spectrograms; use pipeline: {{source: fft_image}}")


def check_seizure_types(root: Path, *, on_progress: Callable[[Progress], None] = ignore) -> CheckReport:
    """Return everything that is wrong with a folder of seizures; every file is read.

    Raises DataError only where there is no table with the three columns.
    """
    table, arrays, findings = _read(root, on_progress)
    return CheckReport(root=root, n_rows=len(table), n_files={"fft": len(arrays)}, findings=sorted_findings(findings))


def is_seizure_folder(root: Path) -> bool:
    """Return whether a folder has the table of a seizure-type data set, and none of the competition's."""
    return (root / LABELS).is_file() and not (root / "train.csv").exists()


def _read(
    root: Path, on_progress: Callable[[Progress], None]
) -> tuple[pd.DataFrame, list[Float32[np.ndarray, "samples 20 24"]], list[Finding]]:
    """Return the table, the files that could be read, and what was found wrong or doubtful."""
    table = read_labels(root)
    findings = list(label_findings(table))
    arrays = []
    for number, file in enumerate(table["file"]):
        if not wrong_path(file):
            try:
                arrays.append(read_fft_samples(root / file))
            except DataError as error:
                findings.append(Finding("error", file, str(error).removeprefix(f"{Path(file).name}: ")))
        on_progress(Progress(number + 1, len(table)))
    counts = table["label"].value_counts()
    rare = [f"{name}: {counts.get(name, 0)}" for name in SEIZURE_TYPES if counts.get(name, 0) < _RARE]
    if rare:
        findings.append(Finding("note", LABELS, f"types with fewer files than the usual {_RARE} folds: {few(rare, 8)}"))
    return table, arrays, findings
