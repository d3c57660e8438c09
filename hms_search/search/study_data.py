"""What a study learns from: its recordings, synthetic ones written first, prepared once, opened as samples."""

from collections.abc import Callable
from pathlib import Path

from hms_search.data.baked import bake, baked_part
from hms_search.data.prepare import is_fresh, prepare
from hms_search.data.progress import Progress
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError
from hms_search.models.device import device_of
from hms_search.search.data_config import SYNTHETIC, DataConfig
from hms_search.search.events import Event, Notice
from hms_search.search.places import Places
from hms_search.search.seizure_data import read_seizures, synthetic_seizures
from hms_search.search.study import StudyConfig

_SHOWN_REJECTIONS = 5

ReportProgress = Callable[[str, Progress], None]
"""Called with what is being done and how far it is."""


def study_samples(
    config: StudyConfig, places: Places, *, progress: ReportProgress, notify: Callable[[Event], None]
) -> Store | SeizureTypes:
    """Return what a study learns from: the samples of its prepared data, or its seizures."""
    if config.task == "hms":
        return open_store(
            config, prepared_data(config.data, places, progress=progress, notify=notify), progress=progress
        )
    data = config.data
    if data.root is None:
        raise DataError("no data: give the folder with labels.csv as --data ROOT, or try --data synthetic")
    if data.root != SYNTHETIC:
        return read_seizures(Path(data.root), progress=progress)
    root = places.synthetic_seizures(data)
    return synthetic_seizures(root, n_patients=data.synthetic.patients, seed=data.synthetic.seed, progress=progress)


def prepared_data(
    data: DataConfig, places: Places, *, progress: ReportProgress, notify: Callable[[Event], None]
) -> Path:
    """Return the fresh Store of a study's data, written first where it is missing or stale.

    What is rejected is named in a notice. Raises DataError where no data was named or the folder does not exist.
    """
    root = data_root(data, places, progress=progress)
    store = places.store(root)
    if is_fresh(root, store):
        return store
    report = prepare(root, store, on_progress=lambda step: progress(f"preparing {root.name}", step))
    if report.rejected:
        shown = "; ".join(f"{one.kind} {one.id}: {one.reason}" for one in report.rejected[:_SHOWN_REJECTIONS])
        all_of_them = f"{len(report.rejected)} files and rows were rejected, all listed in {store / 'rejected.csv'}"
        notify(Notice(f"{all_of_them}: {shown}", warning=True))
    return store


def open_store(config: StudyConfig, path: Path, *, progress: ReportProgress, having: tuple[Kind, ...] = ()) -> Store:
    """Return the samples of a study's prepared data, their representation baked first where the study asks for it.

    Every sample has recordings of the kinds that the study reads, and of ``having``.
    """
    pipeline = config.space.base.pipeline
    store = Store.open(path, config.data.sampling, kinds=pipeline.kinds, having=having)
    part = baked_part(pipeline) if config.data.baked else None
    if part is None:
        return store
    bake(
        store,
        part,
        device=device_of(config.device),
        on_progress=lambda step: progress("baking the EEG's representation", step),
    )
    return Store.open(path, config.data.sampling, kinds=pipeline.kinds, having=having, baked=part)


def data_root(data: DataConfig, places: Places, *, progress: ReportProgress) -> Path:
    """Return the folder with a study's recordings, a synthetic one written first where it is missing."""
    if data.root is None:
        raise DataError("no data: give the folder with train.csv as --data ROOT, or try --data synthetic")
    if data.root != SYNTHETIC:
        root = Path(data.root)
        if not root.is_dir():
            raise DataError(f"no such data folder: {root}; give the one that holds train.csv, or --data synthetic")
        return root
    root = places.synthetic(data)
    write_synthetic(  # does nothing where the same recordings are complete
        root,
        n_patients=data.synthetic.patients,
        seed=data.synthetic.seed,
        on_progress=lambda done, total: progress("writing synthetic recordings", Progress(done, total, 0, 0)),
    )
    return root
