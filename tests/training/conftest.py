"""A store in memory and the small things that most tests of training need."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from hms_search.data.batches import Batches, InOrder
from hms_search.eeg.histogram import count_log_power
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.eeg.shapes import Kind
from hms_search.training.config import TrainingConfig
from hms_search.training.curriculum import Curriculum
from hms_search.training.results import Slot

PLAIN = TrainingConfig()
CPU = torch.device("cpu")


class MemoryStore:
    """Recordings in which the class is the frequency band that carries power, so that a network can learn it."""

    fingerprint = "in memory"

    def __init__(self, n: int = 48, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        classes = np.arange(n) % 6
        self.targets = 0.9 * np.eye(6)[classes] + 0.1 / 6
        self.high = np.arange(n) % 4 == 0
        self.votes = np.eye(6, dtype=np.int64)[classes] * np.where(self.high, 12, 3)[:, None]
        self.sample_ids = self.groups = np.arange(n)
        self.patients = np.arange(n) // 2
        self.recordings = []
        for label in classes:
            x = rng.normal(-2, 1, (40, 400)).astype(np.float16)
            x[:, 60 * label : 60 * label + 60] += 6
            self.recordings.append(x)

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        return {"spectrogram": self.recordings[row]}

    def histograms(self) -> np.ndarray:
        return np.stack([count_log_power(recording) for recording in self.recordings])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def batches() -> Callable[..., Batches]:
    """Makes batches over rows of a store, shuffled where a seed is given."""

    def make(
        store: MemoryStore,
        rows: np.ndarray,
        *,
        seed: int | None = None,
        resize: tuple[int, int] = (32, 32),
        config: TrainingConfig = PLAIN,
        batch_size: int = 8,
        device: torch.device = CPU,
    ) -> Batches:
        pipeline = SpectrogramPipeline(resize=resize).fit(np.zeros(0, dtype=np.int64))
        draw = (
            InOrder(rows, store.targets) if seed is None else Curriculum(config, store, rows, slot=Slot(0, seed=seed))
        )
        return Batches(store, draw, pipeline, batch_size=batch_size, device=device)

    return make
