import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hms_search.search.contenders import Contenders
from hms_search.training.steps import Steps

STEPS = Steps(n_folds=3, epochs=2)


def contends(contenders: Contenders, number: int, value: float, fold: int = 0) -> bool:
    """Feed a trial up to the end of a fold; say whether it goes on."""
    words = [contenders.epoch_ended(number, step, value) for step in range((fold + 1) * STEPS.epochs)]
    assert not any(words[: fold * STEPS.epochs + 1])
    return not words[-1]


def fresh(direction: str = "minimize") -> Contenders:
    return Contenders(STEPS, 0.5, direction)  # type: ignore[arg-type]


def test_a_contender_is_among_the_better_share_of_those_seen() -> None:
    contenders = fresh()
    assert [contends(contenders, number, value) for number, value in enumerate([0.5, 0.6, 0.4, 0.55, 0.5])] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_where_more_is_better_the_higher_values_go_on() -> None:
    contenders = fresh("maximize")
    assert [contends(contenders, number, value) for number, value in enumerate([0.5, 0.4, 0.6])] == [True, False, True]


def test_trials_that_were_stopped_within_the_fold_count_as_worse() -> None:
    alone, beside = fresh(), fresh()
    for contenders in (alone, beside):
        contends(contenders, 0, 0.5)
    for number in (1, 2):
        beside.epoch_ended(number, 0, 0.9)
        beside.trial_ended(number, "pruned")
    assert not contends(alone, 3, 0.6)
    assert contends(beside, 3, 0.6)


def test_one_that_was_stopped_for_being_no_contender_is_counted_once() -> None:
    contenders = fresh()
    for number, value in enumerate([0.1, 0.9]):
        contends(contenders, number, value)
        contenders.trial_ended(number, "pruned")
    assert not contends(contenders, 2, 0.95)  # the last of three; of five it would be in the better half


def test_a_trial_that_is_run_again_after_its_worker_died_counts_once() -> None:
    undisturbed, disturbed = fresh(), fresh()
    for number, value in enumerate([0.1, 0.2, 0.3]):
        contends(undisturbed, number, value)
        contends(disturbed, number, value)
    contends(undisturbed, 3, 0.9)
    contends(disturbed, 3, 0.9)
    disturbed.trial_ended(3, "interrupted")
    contends(disturbed, 4, 0.9)  # the same trial, from its checkpoint
    assert contends(undisturbed, 5, 0.25) == contends(disturbed, 5, 0.25) is True
    assert contends(undisturbed, 6, 0.28) == contends(disturbed, 6, 0.28) is False


def test_an_end_that_is_told_again_counts_once() -> None:
    contenders = fresh()
    for number, value in enumerate([0.1, 0.2, 0.9]):
        contends(contenders, number, value)
    for _ in range(5):
        contenders.epoch_ended(2, STEPS.epochs - 1, 0.9)
    assert not contends(contenders, 3, 0.5)


def test_a_later_fold_is_judged_by_the_mean_of_the_folds_so_far() -> None:
    contenders = fresh()
    for number, (first, second) in enumerate([(0.2, 0.8), (0.6, 0.3), (0.1, 1.0)]):
        for step in range(3):
            contenders.epoch_ended(number, step, first if step < 2 else second)
        assert contenders.epoch_ended(number, 3, second) == (number == 2)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 10_000))
def test_what_was_seen_counts_and_not_its_order(values: list[float], seed: int) -> None:
    straight, shuffled = fresh(), fresh()
    for number, value in enumerate(values):
        contends(straight, number, value)
    for number in np.random.default_rng(seed).permutation(len(values)):
        contends(shuffled, int(number), values[number])
    assert contends(straight, 99, 0.5) == contends(shuffled, 99, 0.5)
