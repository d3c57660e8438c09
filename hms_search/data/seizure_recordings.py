"""EDF recordings and the intervals of their seizures become a folder of seizure-type data: one file per seizure.

The table of intervals has a line per seizure with ``file`` (a path inside the folder of recordings), ``start_s``,
``end_s``, ``label`` and ``patient``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from hms_search.data.atomic import replacing_folder
from hms_search.data.edf import read_edf
from hms_search.data.fft_samples import N_FREQUENCIES
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.progress import Progress, ignore
from hms_search.data.seizure_labels import COLUMNS, LABELS
from hms_search.eeg.electrodes import ELECTRODES
from hms_search.eeg.montage import Bipolar
from hms_search.errors import DataError

SFREQ = 250
"""Of the published data; recordings are resampled to it."""
WINDOW, STEP = SFREQ, SFREQ // 2
"""A second, and half of one (IBM: a quarter or a half of the window)."""
SAMPLE_STEP_S = STEP / SFREQ
"""Between samples."""
_SHOWN = 20


@dataclass(frozen=True)
class Interval:
    """A seizure in a recording: a line of the table."""

    file: str
    start_s: float
    end_s: float
    label: str
    patient: str

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with it."""
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or not self.file:
            yield f"expected a path inside the folder, found {self.file!r}"
        if not (self.start_s >= 0 and self.end_s - self.start_s >= WINDOW / SFREQ):
            yield f"expected a seizure of a second or more, found start_s {self.start_s:g} and end_s {self.end_s:g}"
        if self.label not in SEIZURE_TYPES:
            yield f"expected one of {', '.join(SEIZURE_TYPES)}, found {self.label!r}"
        if not self.patient:
            yield "expected a patient, found none"


def write_seizures(
    recordings: Path, table: Path, out: Path, *, on_progress: Callable[[Progress], None] = ignore
) -> int:
    """Write the seizures of some recordings to a new or empty folder and return how many there are.

    Raises DataError naming everything that is wrong with the table, or else with the recordings, one line each;
    nothing is left then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is not empty; give a new or empty folder")
    intervals = _read_intervals(table)
    _refuse(table, [f"line {line}: {fault}" for line, one in enumerate(intervals, 2) for fault in one.faults()])
    by_file: dict[str, list[tuple[int, Interval]]] = {}
    for number, one in enumerate(intervals):
        by_file.setdefault(one.file, []).append((number, one))
    faults = []
    with replacing_folder(out) as folder:
        for done, (file, seizures) in enumerate(by_file.items(), start=1):
            try:
                _write_file(recordings / file, seizures, folder)
            except DataError as error:
                faults.append(str(error))
            on_progress(Progress(done, len(by_file)))
        _refuse(table, faults)
        rows = [(_name(number), one.label, one.patient) for number, one in enumerate(intervals)]
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / LABELS, index=False)
    return len(intervals)


def fft_samples(eeg: Float[np.ndarray, "n_times 20"]) -> Float32[np.ndarray, "samples 20 24"]:
    """Return log10 magnitudes of windows of a second, half a second apart, of microvolts at 250 Hz.

    Of the 20 derivations of the TUH montage and 1, 2 ... 24 Hz; where a magnitude is 0, a tenth of the smallest other
    one stands for it; NaN where the EEG has gaps. Raises ValueError for less than a second.
    """
    if len(eeg) < WINDOW:
        raise ValueError(f"expected at least {WINDOW} times, found {len(eeg)}")
    pairs = [name.split("-") for name in Bipolar(name="tuh20").derivations]
    magnitudes = np.stack([_magnitudes(eeg[:, _column(one)] - eeg[:, _column(other)]) for one, other in pairs], axis=1)
    positive = magnitudes[magnitudes > 0]
    floor = 0.1 * positive.min() if positive.size else 1.0
    samples: np.ndarray = np.log10(np.where(magnitudes == 0, floor, magnitudes)).astype(np.float32)
    return samples


def _magnitudes(signal: Float[np.ndarray, " n_times"]) -> Float[np.ndarray, "samples 24"]:
    """Return the magnitudes of one derivation: of all at once, an hour of EEG would take 600 MB."""
    windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::STEP]
    magnitudes: np.ndarray = np.abs(np.fft.rfft(windows, axis=1)[:, 1 : N_FREQUENCIES + 1])
    return magnitudes


def _column(electrode: str) -> int:
    return ELECTRODES.index(electrode)


def _write_file(path: Path, seizures: Sequence[tuple[int, Interval]], folder: Path) -> None:
    eeg = read_edf(path, sfreq=float(SFREQ))
    last = max(one.end_s for _, one in seizures)
    if round(last * SFREQ) > len(eeg):
        raise DataError(f"{path.name}: a seizure ends at {last:g} s, the recording at {len(eeg) / SFREQ:g} s")
    for number, one in seizures:
        samples = fft_samples(eeg[round(one.start_s * SFREQ) : round(one.end_s * SFREQ)])
        np.save(folder / _name(number), samples, allow_pickle=False)


def _name(number: int) -> str:
    return f"seizure{number:05}.npy"


def _read_intervals(path: Path) -> list[Interval]:
    columns = [field.name for field in fields(Interval)]
    wanted = f"{path}: expected a CSV table with columns {', '.join(columns)} and a line per seizure"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table[columns].assign(start_s=table["start_s"].astype(float), end_s=table["end_s"].astype(float))
    except OSError as error:
        raise DataError(f"{wanted}: {error.strerror}") from None
    except (ValueError, KeyError, pd.errors.ParserError) as error:
        raise DataError(f"{wanted}, found otherwise: {str(error).splitlines()[0]}") from None
    if table.empty:
        raise DataError(f"{wanted}, found no line")
    return [Interval(*row) for row in table.to_numpy().tolist()]


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise DataError("\n".join([f"{path}: {len(faults)} faults", *faults[:_SHOWN], *more]))
