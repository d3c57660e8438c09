"""What a plan is made for: the samples of a study if they are prepared, else their number and a few synthetic ones."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hms_search.data.baked import baked_part
from hms_search.data.folds import Foldable, plan_folds
from hms_search.data.prepare import is_fresh, prepare
from hms_search.data.sample_count import counted_samples, recorded_bytes
from hms_search.data.samples import Samples
from hms_search.data.store import Store, baked_file
from hms_search.data.synthetic import write_synthetic
from hms_search.search.data_config import SYNTHETIC
from hms_search.search.places import Places
from hms_search.search.study import StudyConfig
from hms_search.search.study_data import ReportProgress, data_root, prepared_data, study_samples

_TIMED_PATIENTS = 8
_STORE_SHARE = 0.5
"""A Store's size beside that of the recordings: 0.36 of the 50 real ones, 0.49 of synthetic ones."""


@dataclass(frozen=True)
class PlannedSamples:
    """What to time, and how much of it there will be.

    Attributes
    ----------
    timed
        Samples to time batches of.
    rows
        How many rows each fold in use trains on in an epoch, and is validated on.
    count, counted
        How many samples there are, and where that was counted.
    store_bytes
        Size of the prepared recordings, 0 where none are prepared for the task.
    """

    timed: Samples
    rows: tuple[tuple[int, int], ...]
    count: int
    counted: str
    store_bytes: int


@contextmanager
def planned_samples(config: StudyConfig, places: Places, *, progress: ReportProgress) -> Iterator[PlannedSamples]:
    """Give what a study's plan is made for; nothing of a data folder is prepared, but for a synthetic one."""
    if config.task != "hms":
        store = study_samples(config, places, progress=progress, notify=lambda _: None)
        yield PlannedSamples(store, _rows(config, store), len(store), "in the data folder", 0)
        return
    root = data_root(config.data, places, progress=progress)
    prepared = places.store(root)
    if config.data.root == SYNTHETIC:
        prepared_data(config.data, places, progress=progress, notify=lambda _: None)
    if is_fresh(root, prepared):
        samples = _opened(config, prepared)
        size = sum(file.stat().st_size for file in prepared.rglob("*") if file.is_file())
        yield PlannedSamples(samples, _rows(config, samples), len(samples), "in the prepared recordings", size)
        return
    with tempfile.TemporaryDirectory(prefix="hms-search-plan-") as folder:
        count = counted_samples(root, config.data.sampling)
        size = round(_STORE_SHARE * recorded_bytes(root))
        samples = _synthetic(config, Path(folder), progress)
        yield PlannedSamples(samples, _shares(config, count), count, f"in {root / 'train.csv'}, not prepared yet", size)


def _opened(config: StudyConfig, path: Path) -> Store:
    """Return a study's samples, from baked images if those are there."""
    pipeline = config.space.base.pipeline
    store = Store.open(path, config.data.sampling, kinds=pipeline.kinds)
    part = baked_part(pipeline) if config.data.baked else None
    if part is None or not baked_file(path, store.fingerprint, part).is_file():
        return store
    return Store.open(path, config.data.sampling, kinds=pipeline.kinds, baked=part)


def _synthetic(config: StudyConfig, folder: Path, progress: ReportProgress) -> Store:
    write_synthetic(folder / "recordings", n_patients=_TIMED_PATIENTS, seed=0, workers=1)  # sooner than processes start
    prepare(
        folder / "recordings",
        folder / "store",
        workers=1,
        on_progress=lambda step: progress("preparing a few samples", step),
    )
    return Store.open(folder / "store", config.data.sampling, kinds=config.space.base.pipeline.kinds)


def _rows(config: StudyConfig, store: Foldable) -> tuple[tuple[int, int], ...]:
    """Return the rows of each fold in use; of a group of windows an epoch sees one."""
    plan = plan_folds(config.folds, store)
    splits = [plan.split(fold) for fold in plan.use]
    groups = store.groups if isinstance(store, Store) else np.arange(len(store))
    return tuple((len(np.unique(groups[training])), len(validation)) for training, validation in splits)


def _shares(config: StudyConfig, count: int) -> tuple[tuple[int, int], ...]:
    """Return the rows of each fold in use, as if the folds were of one size."""
    n_folds = config.folds.n_folds
    validation = count // n_folds
    return ((count - validation, validation),) * len(config.folds.use or range(n_folds))
