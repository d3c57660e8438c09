import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hms_search.data.fold_words import Order
from hms_search.training.steps import Steps

ORDERS: tuple[Order, ...] = ("sequential", "interleaved")
ANY = st.builds(Steps, st.integers(1, 5), st.integers(1, 12), st.sampled_from(ORDERS))


@given(ANY)
def test_every_epoch_of_every_fold_has_one_step(steps: Steps) -> None:
    places = [steps.place(step) for step in range(len(steps))]
    assert sorted(places) == [(fold, epoch) for fold in range(steps.n_folds) for epoch in range(steps.epochs)]
    assert [steps.at(*place) for place in places] == list(range(len(steps)))


@given(ANY)
def test_a_fold_runs_its_epochs_in_their_order(steps: Steps) -> None:
    for fold in range(steps.n_folds):
        epochs = [epoch for position, epoch in map(steps.place, range(len(steps))) if position == fold]
        assert epochs == list(range(steps.epochs))


@given(ANY)
def test_the_latest_are_the_last_step_so_far_of_each_fold_that_has_begun(steps: Steps) -> None:
    last: dict[int, int] = {}
    for step in range(len(steps)):
        last[steps.place(step).position] = step
        assert steps.latest(step) == tuple(last[position] for position in sorted(last))


def test_folds_that_take_turns_are_all_known_after_one_epoch_of_each() -> None:
    steps = Steps(n_folds=3, epochs=4, order="interleaved")
    assert [steps.place(step) for step in range(4)] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    values = {0: 1.0, 1: 2.0, 2: 6.0, 3: 0.0}
    assert steps.mean(values, 1) == 1.5
    assert steps.mean(values, 2) == 3.0
    assert steps.mean(values, 3) == pytest.approx(8 / 3)


@given(ANY)
def test_at_the_end_the_mean_is_that_of_all_folds_last_epochs(steps: Steps) -> None:
    values = {step: float(value) for step, value in enumerate(np.random.default_rng(0).random(len(steps)))}
    last = [values[steps.at(fold, steps.epochs - 1)] for fold in range(steps.n_folds)]
    assert steps.mean(values, len(steps) - 1) == pytest.approx(np.mean(last))


@given(ANY)
def test_a_curve_has_a_point_for_every_epoch_in_turn(steps: Steps) -> None:
    points = [point for step in range(len(steps)) if (point := steps.curve_at(step)) is not None]
    assert points == [(curve, epoch) for curve in range(steps.n_curves) for epoch in range(steps.epochs)]


def test_a_point_of_the_mean_curve_is_the_mean_at_equal_epochs() -> None:
    steps = Steps(n_folds=2, epochs=2, order="interleaved")
    values = {0: 1.0, 1: 3.0, 2: 0.0, 3: 1.0}
    assert [steps.curve_at(step) for step in range(4)] == [None, (0, 0), None, (0, 1)]
    assert [steps.point(values, step) for step in (1, 3)] == [2.0, 0.5]


def test_only_of_folds_that_run_one_after_the_other_does_one_end_before_the_others_begin() -> None:
    assert [step for step in range(6) if Steps(3, 2).ends_fold(step)] == [1, 3]
    assert not any(Steps(3, 2, "interleaved").ends_fold(step) for step in range(6))
