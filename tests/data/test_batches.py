import threading

import numpy as np
import pytest
import torch

from hms_search.data.batches import Batches, InOrder, Portion
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError


class Recorded:
    """Recordings of some lengths; recording i holds the value i, and so does its target."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self.targets = np.arange(len(lengths), dtype=float)[:, None] * np.ones(6)
        self.high = np.zeros(len(lengths), dtype=bool)
        self.patients = np.arange(len(lengths))
        self.reads: list[int] = []

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        self.reads.append(row)
        return {"spectrogram": np.full((self.lengths[row], 400), row / 10, dtype=np.float16)}

    def histograms(self) -> np.ndarray:
        raise AssertionError("batches have no use for histograms")


class Shuffled:
    """All rows in an order of its own for each epoch; the weight of a row is twice its number."""

    generator = None

    def __init__(self, rows: np.ndarray, targets: np.ndarray, seed: int) -> None:
        self.rows, self.targets, self.seed = rows, targets, seed

    def portion(self, epoch: int) -> Portion:
        rows = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        return Portion(rows, self.targets[rows], 2.0 * rows)


def batches_of(
    store: Recorded,
    rows: np.ndarray | None = None,
    *,
    size: int = 4,
    seed: int | None = None,
    resize: list[int] | None = None,
) -> Batches:
    rows = np.arange(len(store.lengths)) if rows is None else rows
    draw = InOrder(rows, store.targets) if seed is None else Shuffled(rows, store.targets, seed)
    config = {"resize": resize, "normalise": {"name": "none"}}
    pipeline = SpectrogramPipeline.model_validate(config).fit(np.zeros(0, dtype=np.int64))
    return Batches(store, draw, pipeline, batch_size=size, device=torch.device("cpu"))


def rows_in(batches: Batches) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


def test_images_targets_and_rows_of_a_batch_belong_together_for_recordings_of_any_length() -> None:
    store = Recorded([30, 50, 30, 40, 50, 30, 30])
    seen = []
    for batch in batches_of(store, seed=3, resize=[16, 8]):
        assert batch.x.shape == (len(batch.rows), 1, 16, 8)
        np.testing.assert_allclose(batch.x.mean(dim=(1, 2, 3)), batch.rows / 10, atol=1e-3)
        np.testing.assert_array_equal(batch.target, store.targets[batch.rows])
        np.testing.assert_array_equal(batch.weight, 2 * batch.rows)
        seen += batch.rows.tolist()
    assert sorted(seen) == list(range(7))


def test_a_pass_goes_through_what_the_draw_says_for_its_epoch() -> None:
    store = Recorded([30] * 12)
    batches = batches_of(store, seed=0)
    for epoch in (0, 3):
        portion = batches.draw.portion(epoch)
        assert np.concatenate([batch.rows for batch in batches.over(portion)]).tolist() == portion.rows.tolist()


def test_a_row_may_come_more_than_once_in_a_pass() -> None:
    batches = batches_of(Recorded([30, 40, 30]), resize=[16, 8])
    portion = Portion(np.array([1, 0, 1, 1, 2]), np.tile(np.arange(5.0)[:, None], 6), np.arange(5.0))
    seen = [
        (row, weight)
        for batch in batches.over(portion)
        for row, weight in zip(batch.rows.tolist(), batch.weight.tolist(), strict=True)
    ]
    assert sorted(seen) == [(0, 1), (1, 0), (1, 2), (1, 3), (2, 4)]


def test_validation_keeps_the_order_of_the_rows_and_weighs_them_alike() -> None:
    assert all((batch.weight == 1).all() for batch in batches_of(Recorded([30] * 5)))
    assert rows_in(batches_of(Recorded([30] * 9), np.array([7, 1, 8, 0, 2]), size=2)) == [[7, 1], [8, 0, 2]]


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 5]), (5, [5]), (1, [1]), (3, [3])])
def test_a_row_that_would_be_alone_joins_the_batch_before_it(n: int, sizes: list[int]) -> None:
    batches = batches_of(Recorded([30] * n))
    assert [len(rows) for rows in rows_in(batches)] == sizes
    assert batches.count(batches.draw.portion(0)) == len(sizes)


def test_batches_of_one_are_made_when_asked_for() -> None:
    assert rows_in(batches_of(Recorded([30] * 3), size=1)) == [[0], [1], [2]]


def test_one_batch_is_read_ahead_and_no_more() -> None:
    store = Recorded([30] * 20)
    batches = batches_of(store, resize=[8, 8])
    first = iter(batches)
    next(first)
    batches.close()
    assert set(store.reads) <= set(range(8))


def test_an_abandoned_pass_leaves_no_thread_behind_after_closing() -> None:
    batches = batches_of(Recorded([30] * 20))
    for _ in batches:
        break
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_a_recording_that_cannot_be_read_is_an_error_in_the_pass() -> None:
    store = Recorded([30] * 8)
    batches = batches_of(store)
    store.lengths = [30] * 6
    with pytest.raises(IndexError):
        rows_in(batches)


def test_recordings_of_different_lengths_need_a_resize() -> None:
    with pytest.raises(DataError, match=r"found 30 to 50 rows of time; set pipeline\.resize"):
        batches_of(Recorded([30, 50]))
    assert next(iter(batches_of(Recorded([30, 30])))).x.shape == (2, 1, 400, 30)


def test_no_rows_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one row"):
        batches_of(Recorded([30]), np.zeros(0, dtype=int))
