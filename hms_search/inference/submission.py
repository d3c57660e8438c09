"""From a model and a folder of recordings to a submission: nothing stops for one bad file."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from hms_search.data.progress import Progress, ignore
from hms_search.data.unlabelled import Unlabelled, open_unlabelled
from hms_search.errors import ConfigError, DataError
from hms_search.inference.predictor import Predictor, Recording, Tta


@dataclass(frozen=True)
class Unreadable:
    """A recording that could not be predicted, and why; its row is the model's prior."""

    eeg_id: int
    reason: str


@dataclass(frozen=True, eq=False)
class Submission:
    """Class probabilities of all recordings of a folder, in the order of its table.

    ``unreadable`` are those that got the prior; ``notice`` is what to know about the folder, or empty.
    """

    eeg_ids: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows 6"]
    unreadable: tuple[Unreadable, ...]
    notice: str


def predict_folder(
    predictor: Predictor,
    root: Path,
    *,
    batch_size: int = 16,
    tta: Tta = "own",
    on_progress: Callable[[Progress], None] = ignore,
) -> Submission:
    """Return the predictions of every recording of a folder; see :func:`hms_search.data.unlabelled.open_unlabelled`.

    A thread reads the next ``batch_size`` recordings while the networks run on these. A recording that cannot be read,
    does not fit the model or comes out as NaN gets the model's prior and is listed with the reason.

    Raises DataError where the folder's tables are missing or wrong, ConfigError where a batch does not fit the memory.
    """
    rows = open_unlabelled(root)
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
    unreadable = tuple(Unreadable(rows.lines[row].eeg_id, reason) for row, reason in sorted(reasons.items()))
    return Submission(rows.eeg_ids, probabilities, unreadable, rows.notice)


def _predicted(predictor: Predictor, recordings: list[Recording], tta: Tta) -> Float[np.ndarray, "recordings 6"]:
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


def _read_ahead(rows: Unlabelled, predictor: Predictor, batch_size: int) -> Iterator[_Batch]:
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


def _read(rows: Unlabelled, predictor: Predictor, numbers: range) -> _Batch:
    batch = _Batch({}, {})
    for number in numbers:
        try:
            recording = rows.recording(number, predictor.kinds)
            predictor.check(recording)
        except DataError as error:
            batch.reasons[number] = str(error).removeprefix(f"eeg {rows.lines[number].eeg_id}: ")
        else:
            batch.recordings[number] = recording
    return batch
