"""The seizures to predict of a folder: a file each, whatever its labels say."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from hms_search.data.atomic import replacing
from hms_search.data.fft_samples import SUFFIXES, read_fft_samples
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError

ReadSamples = Callable[[Path], Float32[np.ndarray, "samples 20 24"]]
"""Returns the FFT samples of a file; raises DataError where it has none."""

_RECORDINGS = (".edf", ".bdf")
_LABELS = "labels.csv"


@dataclass(frozen=True)
class SeizureFiles:
    """Files of seizures by their paths in a folder; ``notice`` is what to know about them, or empty."""

    root: Path
    names: tuple[str, ...]
    notice: str
    read: ReadSamples

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Return what messages call a file: its path in the folder."""
        return self.names[row]

    def recording(self, row: int, kinds: Collection[Kind]) -> dict[Kind, np.ndarray]:  # noqa: ARG002 - as Unlabelled
        """Return a file's FFT samples ``[samples, 20, 24]``; raises DataError, with its name, where it has none."""
        path = self.root / self.names[row]
        try:
            return {"fft": self.read(path)}
        except DataError as error:
            raise DataError(f"{self.names[row]}: {str(error).removeprefix(f'{path.name}: ')}") from None

    def write(self, path: Path, probabilities: Float[np.ndarray, "rows 8"]) -> None:
        """Write a CSV with a line per file: ``file``, ``label``, the likeliest type, and a probability per type.

        All digits are written, complete or not at all; raises DataError where the file cannot be written.
        """
        table = types_table(probabilities)
        table.insert(0, "file", list(self.names))
        table.insert(1, "label", [SEIZURE_TYPES[place] for place in probabilities.argmax(axis=1)])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                table.to_csv(partial, index=False)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror}; name another file") from error


def types_table(probabilities: Float[np.ndarray, "rows 8"]) -> pd.DataFrame:
    """Return the probabilities of seizure types as a table with their names as columns."""
    return pd.DataFrame(probabilities, columns=list(SEIZURE_TYPES))


def open_seizure_files(root: Path, read: ReadSamples = read_fft_samples) -> SeizureFiles:
    """Return the files of FFT samples and the EDF and BDF recordings in a folder and its subfolders, by name.

    ``read`` is what reads them; unless told otherwise it refuses EDF and BDF, which need more than NumPy. Raises
    DataError where there is no folder, or no such file in it.
    """
    wanted = (*SUFFIXES, *_RECORDINGS)
    if not root.is_dir():
        raise DataError(f"no data folder {root}: expected a folder with {', '.join(wanted)} files")
    found = sorted(file for file in root.rglob("*") if file.suffix.lower() in wanted and file.is_file())
    if not found:
        raise DataError(f"{root}: expected {', '.join(wanted)} files in the data folder, found none")
    labelled = (root / _LABELS).exists()
    notice = f"{root / _LABELS} is not read; a model that was trained on these files does better here than on new ones"
    names = tuple(file.relative_to(root).as_posix() for file in found)
    return SeizureFiles(root, names, notice if labelled else "", read)
