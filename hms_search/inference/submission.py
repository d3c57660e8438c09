"""From a model and a folder of recordings to a table of predictions: nothing stops for one bad file."""

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from hms_search.data.fft_samples import read_fft_samples
from hms_search.data.labels import TaskName
from hms_search.data.progress import Progress, ignore
from hms_search.data.seizure_files import ReadSamples, open_seizure_files
from hms_search.data.unlabelled import open_unlabelled
from hms_search.eeg.shapes import Kind
from hms_search.errors import ConfigError, DataError
from hms_search.inference.predictor import Predictor, Recording, Tta

OUTPUT: Mapping[TaskName, Path] = {"hms": Path("submission.csv"), "seizure_types": Path("predictions.csv")}
"""What the table of each task's predictions is usually called."""


@dataclass(frozen=True)
class Unreadable:
    """A recording that could not be predicted, by its name, and why; its row is the model's prior."""

    name: str
    reason: str


class Rows(Protocol):
    """Recordings to predict: :class:`hms_search.data.unlabelled.Unlabelled`, or files of seizures."""

    @property
    def notice(self) -> str:
        """What to know about them, or empty."""

    def __len__(self) -> int:
        """Return how many they are."""

    def name(self, row: int) -> str:
        """Return what messages call a recording."""

    def recording(self, row: int, kinds: Collection[Kind]) -> dict[Kind, np.ndarray]:
        """Return what a model looks at of a recording; raises DataError where it cannot be read."""

    def write(self, path: Path, probabilities: Float[np.ndarray, "rows classes"]) -> None:
        """Write the probabilities of all of them; raises DataError where the file cannot be written."""


@dataclass(frozen=True, eq=False)
class Submission:
    """Class probabilities of all recordings of a folder, in order; ``unreadable`` are those that got the prior."""

    rows: Rows
    probabilities: Float[np.ndarray, "rows classes"]
    unreadable: tuple[Unreadable, ...]

    def write(self, path: Path) -> None:
        """Write them as the task's table: a submission, or a line per file of a seizure."""
        self.rows.write(path, self.probabilities)


def predict_folder(
    predictor: Predictor,
    root: Path,
    *,
    batch_size: int = 16,
    tta: Tta = "own",
    read: ReadSamples = read_fft_samples,
    on_progress: Callable[[Progress], None] = ignore,
) -> Submission:
    """Return the predictions of every recording of a folder.

    The folder is one for :func:`hms_search.data.unlabelled.open_unlabelled`, of a model of seizure types one for
    :func:`hms_search.data.seizure_files.open_seizure_files`, whose files ``read`` reads.

    A thread reads the next ``batch_size`` recordings while the networks run on these. A recording that cannot be read,
    does not fit the model or comes out as NaN gets the model's prior and is listed with the reason.

    Raises DataError where the folder's tables are missing or wrong, ConfigError where a batch does not fit the memory.
    """
    rows: Rows = open_unlabelled(root) if predictor.task == "hms" else open_seizure_files(root, read)
    probabilities = np.tile(np.array(predictor.card.prior, dtype=np.float64), (len(rows), 1))
    reasons: dict[int, str] = {}
    done = 0
    on_progress(Progress(done, len(rows)))
    for batch in _read_ahead(rows, predictor, batch_size):
        reasons |= batch.reasons
        if batch.recordings:
            predicted = _predicted(predictor, list(batch.recordings.values()), tta)
            for row, probability in zip(batch.recordings, predicted, strict=True):
                if np.isfinite(probability).all():
                    probabilities[row] = probability
                else:
                    reasons[row] = "the model's prediction is not finite"
        done += len(batch.recordings) + len(batch.reasons)
        on_progress(Progress(done, len(rows)))
    unreadable = tuple(Unreadable(rows.name(row), reason) for row, reason in sorted(reasons.items()))
    return Submission(rows, probabilities, unreadable)


def _predicted(predictor: Predictor, recordings: list[Recording], tta: Tta) -> Float[np.ndarray, "recordings classes"]:
    try:
        return predictor.predict(recordings, tta=tta).probabilities
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"{len(recordings)} recordings at a time do not fit into the memory of {predictor.device}: use a smaller "
            "batch size, or the CPU"
        ) from error


@dataclass(frozen=True)
class _Batch:
    """Recordings of some rows, and why the others of them have none."""

    recordings: dict[int, Recording]
    reasons: dict[int, str]


def _read_ahead(rows: Rows, predictor: Predictor, batch_size: int) -> Iterator[_Batch]:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="recordings") as pool:
        ahead: Future[_Batch] | None = None
        try:
            for first in range(0, len(rows), batch_size):
                numbers = range(first, min(first + batch_size, len(rows)))
                current, ahead = ahead, pool.submit(_read, rows, predictor, numbers)
                if current is not None:
                    yield current.result()
            if ahead is not None:
                yield ahead.result()
        finally:
            if ahead is not None:
                ahead.cancel()


def _read(rows: Rows, predictor: Predictor, numbers: range) -> _Batch:
    batch = _Batch({}, {})
    for number in numbers:
        try:
            recording = rows.recording(number, predictor.kinds)
            predictor.check(recording)
        except DataError as error:
            batch.reasons[number] = str(error).removeprefix(f"{rows.name(number)}: ")
        else:
            batch.recordings[number] = recording
    return batch
