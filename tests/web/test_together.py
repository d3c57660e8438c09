from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from web_files import microvolts

from hms_search.errors import DataError
from hms_search.inference.predictor import Prediction, Predictor, Recording, Tta
from hms_search.web.together import BATCH, Together


class Counting(Predictor):
    """A predictor that remembers how many recordings each call was given."""

    batches: list[int]

    def predict(self, recordings: Sequence[Recording | np.ndarray], *, tta: Tta = "own") -> Prediction:
        self.batches.append(len(recordings))
        return super().predict(recordings, tta=tta)


@pytest.fixture
def predictor(models: dict[str, Path]) -> Counting:
    counting = Counting.open(models["eeg"], device="cpu")
    assert isinstance(counting, Counting)
    counting.batches = []
    return counting


def windows(number: int) -> list[Recording]:
    return [{"eeg": np.roll(microvolts(50), 700 * shift, axis=0)} for shift in range(number)]


def asked(predictor: Predictor, requests: Sequence[Sequence[Recording]]) -> list["Future[Prediction]"]:
    """Return the answers to requests that all wait until the line's thread is free."""
    free = Event()
    with ThreadPoolExecutor(1) as line, ThreadPoolExecutor(len(requests)) as people:
        line.submit(free.wait)
        together = Together(predictor, line)
        answers = []
        for number, request in enumerate(requests, 1):
            answers.append(people.submit(together.predict, request))
            while line._work_queue.qsize() < number and not answers[-1].done():
                pass
        free.set()
    return answers


def test_what_waits_is_one_batch_and_everybody_gets_their_own_rows(predictor: Counting) -> None:
    alone = predictor.predict(windows(5)).probabilities
    predictor.batches.clear()
    answers = asked(predictor, [windows(5)[:2], windows(5)[2:3], windows(5)[3:]])
    assert predictor.batches == [5]
    found = np.concatenate([answer.result().probabilities for answer in answers])
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-6)
    assert np.ptp(alone, axis=0).max() > 1e-3, "rows that all come out the same"
    assert [answer.result().members.shape[1] for answer in answers] == [2, 1, 2]


def test_no_batch_is_larger_than_the_limit_and_the_first_come_is_first_served(predictor: Counting) -> None:
    asked(predictor, [windows(BATCH - 1), windows(2), windows(1)])
    assert predictor.batches == [BATCH - 1, 3]


def test_a_window_the_model_cannot_take_is_refused_alone(predictor: Counting) -> None:
    good, bad = asked(predictor, [windows(1), [{"eeg": np.zeros((7, 20), np.float16)}]])
    assert good.result().probabilities.shape == (1, 6)
    with pytest.raises(DataError, match="expected microvolts"):
        bad.result()
