"""Small folders in the Kaggle layout for the data tests."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hms_search.data.hms import COLUMNS, FOLDERS, TABLE_COLUMNS, Kind, recording_path
from hms_search.data.labels import CLASSES, CONSENSUS_NAMES


@dataclass
class Folder:
    """A data folder under construction; ``row`` adds to the table, ``eeg`` and ``spectrogram`` write recordings."""

    root: Path
    rows: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in FOLDERS.values():
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def row(
        self,
        eeg: int | None,
        spectrogram: int | None,
        votes: Mapping[str, int] | None = None,
        *,
        patient: int | None = None,
        eeg_offset: float = 0.0,
        spectrogram_offset: float = 0.0,
        **changes: object,
    ) -> None:
        counts = [(votes or {"other": 3}).get(name, 0) for name in CLASSES]
        label = len(self.rows) + 1
        values = (
            *(eeg, label, eeg_offset if eeg is not None else None),
            *(spectrogram, label, spectrogram_offset if spectrogram is not None else None),
            *(label, label if patient is None else patient, CONSENSUS_NAMES[int(np.argmax(counts))], *counts),
        )
        self.rows.append({**dict(zip(TABLE_COLUMNS, values, strict=True)), **changes})

    def write_table(self) -> Path:
        table = pd.DataFrame(self.rows)
        for name in ("eeg_id", "spectrogram_id"):
            table[name] = pd.array(table[name].tolist(), dtype="Int64")
        table.to_csv(self.root / "train.csv", index=False)
        return self.root

    def eeg(self, recording_id: int, n_times: int = 10_000, *, seed: int = 0) -> np.ndarray:
        signal = np.random.default_rng([seed, recording_id]).normal(0, 50, (n_times, 20)).astype(np.float32)
        self.write("eeg", recording_id, signal)
        return signal

    def spectrogram(self, recording_id: int, n_rows: int = 300, *, seed: int = 0) -> np.ndarray:
        log_power = np.random.default_rng([seed, recording_id]).normal(0, 2, (n_rows, 400))
        power = np.exp(log_power).astype(np.float32)
        self.write("spectrogram", recording_id, power)
        return power

    def write(self, kind: Kind, recording_id: int, values: np.ndarray, names: Sequence[str] | None = None) -> Path:
        columns = list(values.T)
        if kind == "spectrogram":
            columns.insert(0, np.arange(1, 2 * len(values), 2))
        path = recording_path(self.root, kind, recording_id)
        pq.write_table(pa.table(columns, names=list(names or COLUMNS[kind])), path)
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "kaggle")


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    template = Folder(tmp_path_factory.mktemp("small") / "kaggle")
    for i in range(20):
        template.eeg(i)
        template.spectrogram(100 + i)
        template.row(i, 100 + i, {CLASSES[i % 6]: 12 if i % 3 == 0 else 3})
    template.write_table()
    return template


@pytest.fixture
def small(small_template: Folder, tmp_path: Path) -> Folder:
    """20 patients with one EEG and one spectrogram each, all classes, every third row with 12 votes."""
    shutil.copytree(small_template.root, tmp_path / "kaggle")
    return Folder(tmp_path / "kaggle", [dict(row) for row in small_template.rows])
