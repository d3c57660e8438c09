"""The seizures of a study, read or made up; and what of a study's settings suits no seizures, or no others."""

from collections.abc import Callable, Iterator
from pathlib import Path

from hms_search.data.folds import FileFolds, Folds
from hms_search.data.labels import TaskName
from hms_search.data.progress import Progress
from hms_search.data.seizure_types import SeizureTypes
from hms_search.data.synthetic.seizure_types import write_synthetic_seizures
from hms_search.eeg.fft_pipeline import FftPipeline
from hms_search.errors import DataError
from hms_search.experiment import ExperimentConfig
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import TASKS


def read_seizures(root: Path, *, progress: Callable[[str, Progress], None]) -> SeizureTypes:
    """Return the seizures in a folder; raises DataError where there is none, or anything is wrong with it."""
    if not root.is_dir():
        raise DataError(f"no such data folder: {root}; give the one that holds labels.csv, or --data synthetic")
    return SeizureTypes.open(root, on_progress=lambda step: progress(f"reading {root.name}", step))


def synthetic_seizures(
    root: Path, *, n_patients: int, seed: int, progress: Callable[[str, Progress], None]
) -> SeizureTypes:
    """Return the synthetic seizures in a folder, written first where it is missing."""
    write_synthetic_seizures(
        root,
        n_patients=n_patients,
        seed=seed,
        on_progress=lambda done, total: progress("writing synthetic seizures", Progress(done, total)),
    )
    return read_seizures(root, progress=progress)


def task_faults(name: TaskName, base: ExperimentConfig, folds: Folds, objective: Stratum) -> Iterator[str]:
    """Yield what of a study does not suit its task."""
    task, source = TASKS[name], base.pipeline.source
    if isinstance(base.pipeline, FftPipeline) != (name == "seizure_types"):
        needed = "fft_image" if name == "seizure_types" else "spectrogram, eeg or both"
        yield f"task {name} needs pipeline.source {needed}, found {source}"
    if objective not in task.strata:
        yield f"task {name} has no vote strata: expected objective all, found {objective}"
    if isinstance(folds, FileFolds) and name != "seizure_types":
        yield f"folds: {{name: files}} are for task seizure_types, found task {name}; use {{name: grouped}}"
    if name == "seizure_types" and (base.training.noisy_student or base.training.pseudo_labels):
        yield "task seizure_types has no predicted targets: set training.noisy_student and pseudo_labels to null"
