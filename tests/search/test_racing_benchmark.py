"""The racing benchmark, over curves that are made up: what it counts, not what racing is worth."""

import sys
from pathlib import Path

import numpy as np
import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from racing import METHODS, STEPS, Foresight, searched
from racing_factorial import BASELINE, EPOCHS, N_FOLDS, SETTINGS, Factorial

from hms_search.search.racing import Ground


@pytest.fixture(scope="module")
def factorial() -> Factorial:
    """Trainings whose order is clear from the first epoch on, but for one that diverges."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng(0)
    patients = tuple(np.repeat(np.arange(40), 2) for _ in range(N_FOLDS))
    merit = rng.permutation(len(SETTINGS)) / 10
    learned = np.exp(-np.arange(EPOCHS))
    shape = (len(SETTINGS), EPOCHS, 80)
    losses = tuple(merit[:, None, None] + learned[None, :, None] + rng.normal(0, 0.1, shape) for _ in patients)
    values = np.stack([of_fold.mean(axis=2) for of_fold in losses], axis=1)
    values[(BASELINE + 1) % len(SETTINGS), 1, 2:] = np.nan
    return Factorial(Ground(patients, tuple(np.ones(80, dtype=bool) for _ in patients)), losses, values)


def test_a_search_without_a_pruner_pays_for_everything_that_was_trained(factorial: Factorial) -> None:
    found = searched(factorial, METHODS["none"], order=0)
    assert found.epochs == np.isfinite(factorial.values).sum()
    assert (found.above, found.lost, found.finished) == (0.0, False, len(SETTINGS) - 1)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("none", "foresight")])
def test_no_pruner_spends_less_than_one_with_foresight(factorial: Factorial, name: str) -> None:
    found = [[searched(factorial, METHODS[one], order).epochs for order in range(3)] for one in (name, "foresight")]
    assert np.mean(found[0]) >= np.mean(found[1])
    assert max(found[0]) < len(SETTINGS) * len(STEPS)


def test_where_curves_do_not_cross_racing_keeps_the_best(factorial: Factorial) -> None:
    found = [searched(factorial, METHODS["racing"], order) for order in range(3)]
    assert not any(one.lost or one.above for one in found)
    assert searched(factorial, METHODS["racing"], 0) == found[0]


def test_foresight_stops_what_is_no_new_best() -> None:
    judge = Foresight([0.5, 0.6, 0.4, 0.45])
    words = []
    for number in range(4):
        words.append(judge.epoch_ended(number, 0, 9.0))
        judge.trial_ended(number, "pruned" if words[-1] else "complete")
    assert words == [False, True, False, True]


def test_a_factorial_is_kept_and_a_damaged_one_is_trained_again(factorial: Factorial, tmp_path: Path) -> None:
    file = tmp_path / "seed0.npz"
    assert Factorial.load(file) is None
    factorial.save(file)
    kept = Factorial.load(file)
    assert kept is not None
    np.testing.assert_array_equal(kept.values, factorial.values)
    np.testing.assert_array_equal(kept.finals, factorial.finals)
    file.write_bytes(file.read_bytes()[:200])
    assert Factorial.load(file) is None
