import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from hms_search.data.labels import CLASSES
from hms_search.training.metrics import kl, kl_terms, patient_interval, scores


def distributions(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(6, 0.4), rows)


@pytest.mark.parametrize(
    ("target", "predicted", "score"),
    [
        ([[0, 1], [1, 0], [1, 0], [0, 1]], [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]], 0.2161618747),
        (
            [[0, 0.1, 0.9], [0.5, 0.5, 0], [0.5, 0.5, 0]],
            [[0.2, 0.1, 0.7], [0.3, 0.5, 0.2], [0.5, 0.5, 0]],
            0.1605319324,
        ),
        ([[0, 0.1, 0.9], [0.5, 0.5, 0], [0.5, 0.5, 0]], [[0, 0.1, 0.9], [0.5, 0.5, 0], [0.5, 0.5, 0]], 0.0),
        (np.eye(6), np.full((6, 6), 1 / 6), 1.7917594692),
    ],
)
def test_the_competitions_own_test_vectors_are_met_to_ten_digits(
    target: list[list[float]], predicted: list[list[float]], score: float
) -> None:
    assert kl(np.array(target, dtype=float), np.array(predicted)) == pytest.approx(score, rel=0, abs=5e-11)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 20))
@settings(deadline=None)
def test_the_score_is_the_mean_of_scipys_entropy(seed: int, rows: int) -> None:
    target, predicted = distributions(seed, rows), distributions(seed + 1, rows)
    assert kl(target, predicted) == pytest.approx(entropy(target, predicted, axis=1).mean(), rel=1e-6)


def test_a_prediction_of_zero_is_clipped_and_not_infinite() -> None:
    assert kl(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == pytest.approx(-math.log(1e-15))


def test_a_nan_prediction_does_not_pass_as_a_good_one() -> None:
    assert math.isnan(kl(np.array([[0.5, 0.5]]), np.array([[np.nan, 0.5]])))


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 30))
@settings(deadline=None)
def test_classes_add_up_to_the_score_and_strata_average_to_it(seed: int, rows: int) -> None:
    target, predicted = distributions(seed, rows), distributions(seed + 1, rows)
    high = np.arange(rows) % 3 == 0
    metrics = scores(target, predicted, high)
    assert sum(metrics[f"kl_{name}"] for name in CLASSES) == pytest.approx(metrics["kl_all"])
    weighted = high.mean() * metrics["kl_high"] + (~high).mean() * metrics["kl_low"]
    assert weighted == pytest.approx(metrics["kl_all"])


def test_a_stratum_without_rows_has_no_score() -> None:
    metrics = scores(distributions(0, 4), distributions(1, 4), np.zeros(4, dtype=bool))
    assert "kl_high" not in metrics
    assert metrics["kl_low"] == metrics["kl_all"]


def test_accuracy_counts_the_rows_whose_consensus_was_predicted() -> None:
    target = np.eye(6)[[0, 1, 2, 3]]
    assert scores(target, np.eye(6)[[0, 1, 2, 5]], np.ones(4, dtype=bool))["accuracy"] == 0.75


def test_the_interval_covers_the_mean_of_independent_patients_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 3)
    covered = 0
    for repeat in range(200):
        losses = np.repeat(rng.normal(1, 0.5, 40), 3)  # the rows of a patient are copies of each other
        low, high = patient_interval(losses, patients, seed=repeat, draws=400)
        covered += low <= 1 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_the_interval_knows_that_the_rows_of_a_patient_are_alike() -> None:
    losses = np.repeat(np.random.default_rng(0).normal(1, 0.5, 30), 20)
    by_patient = patient_interval(losses, np.repeat(np.arange(30), 20), seed=0)
    by_row = patient_interval(losses, np.arange(600), seed=0)
    assert by_patient[1] - by_patient[0] > 3 * (by_row[1] - by_row[0])


def test_the_interval_of_one_patient_is_the_mean_and_the_seed_decides_the_rest() -> None:
    losses = np.random.default_rng(0).random(50)
    assert patient_interval(losses, np.zeros(50, dtype=int), seed=0) == pytest.approx((losses.mean(), losses.mean()))
    patients = np.arange(50) // 2
    assert patient_interval(losses, patients, seed=3) == patient_interval(losses, patients, seed=3)


def test_terms_of_rows_without_a_vote_for_a_class_are_zero() -> None:
    assert kl_terms(np.array([[0.0, 1.0]]), np.array([[0.3, 0.7]]))[0, 0] == 0
