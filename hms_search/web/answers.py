"""What a model says of uploaded recordings, window by window; one it cannot read is refused with a reason."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Float

from hms_search.data.progress import Progress, ignore
from hms_search.errors import DataError
from hms_search.explain import Explanation, grad_cam
from hms_search.inference.predictor import Prediction, Predictor
from hms_search.web.limits import Limits
from hms_search.web.reading import Upload, read_uploads
from hms_search.web.recorded import Recorded, Refused
from hms_search.web.together import BATCH, Together


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says of one recording; the rows of ``prediction`` are its windows."""

    recorded: Recorded
    prediction: Prediction
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.recorded.name

    @property
    def probabilities(self) -> Float[np.ndarray, " classes"]:
        """The mean over the windows."""
        return np.asarray(self.prediction.probabilities.mean(axis=0))

    @property
    def spread(self) -> Float[np.ndarray, " classes"]:
        """How far the members disagree: the standard deviation of their means over the windows."""
        return np.asarray(self.prediction.members.mean(axis=1).std(axis=0))

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]


Outcome = Answer | Refused


class Respondent:
    """A model that answers uploads, one batch at a time however many people ask, first come first served.

    PyTorch uses all cores for one batch already. Files are read for one request at a time, too: an hour of EDF takes
    hundreds of megabytes for as long as it is resampled.

    Parameters
    ----------
    line
        Where batches wait; must do them in one thread. See :mod:`hms_search.web.line` for the fastest.
    """

    def __init__(self, predictor: Predictor, limits: Limits | None = None, line: Executor | None = None) -> None:
        self.predictor, self.limits = predictor, limits or Limits()
        self._line = line or ThreadPoolExecutor(1, thread_name_prefix="predicting")
        self._together = Together(predictor, self._line)
        self._reading = Lock()

    def answers(
        self, uploads: Sequence[Upload], on_progress: Callable[[Progress], None] = ignore
    ) -> tuple[Outcome, ...]:
        """Return an outcome for each recording of some files; raises DataError for too many or too large files.

        Progress counts windows.
        """
        with self._reading:
            readings = read_uploads(uploads, self.predictor.kinds, self.limits)
        total = sum(len(reading.cut.starts_s) for reading in readings if isinstance(reading, Recorded))
        done = 0

        def advance(windows: int) -> None:
            nonlocal done
            done += windows
            on_progress(Progress(done, total))

        return tuple(
            reading if isinstance(reading, Refused) else self.outcome(reading, advance) for reading in readings
        )

    def outcome(self, recorded: Recorded, on_windows: Callable[[int], None] = lambda _: None) -> Outcome:
        """Return the answer to a recording, or why the model cannot give one."""
        parts: list[Prediction] = []
        n_windows = len(recorded.cut.starts_s)
        try:
            for first in range(0, n_windows, BATCH):
                windows = [recorded.cut.window(number) for number in range(first, min(first + BATCH, n_windows))]
                parts.append(self._together.predict(windows))
                on_windows(len(windows))
        except DataError as error:
            return Refused(recorded.name, str(error))
        probabilities = np.concatenate([part.probabilities for part in parts])
        members = np.concatenate([part.members for part in parts], axis=1)
        if not (np.isfinite(probabilities).all() and np.isfinite(members).all()):
            return Refused(recorded.name, "the model's prediction is not finite")
        return Answer(recorded, Prediction(probabilities, members), self.predictor.classes)

    @property
    def n_members(self) -> int:
        """How many members, or networks of a model that has none, can be asked what they looked at."""
        return len(self.predictor.members or self.predictor.networks)

    def explained(self, answer: Answer, class_name: str, number: int, *, member: int = 0) -> Explanation:
        """Return what a member looked at for a class, in one window of a recording."""
        window = answer.recorded.cut.window(number)
        class_index = answer.classes.index(class_name)
        return self._line.submit(grad_cam, self.predictor, window, class_index=class_index, member=member).result()
