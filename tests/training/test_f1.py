"""F1, against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score
from torch.nn import functional

from hms_search.data.labels import SEIZURE_TYPES
from hms_search.training.f1 import f1_interval, f1_scores
from hms_search.training.losses import kl_divergence
from hms_search.training.tasks import HMS, SEIZURES


def predictions(seed: int, n: int, n_present: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.eye(8)[rng.integers(n_present, size=n)], rng.dirichlet(np.ones(8), size=n)


@given(seed=st.integers(0, 2**31), n=st.integers(1, 80), n_present=st.integers(1, 8))
def test_weighted_f1_and_accuracy_are_those_of_scikit_learn(seed: int, n: int, n_present: int) -> None:
    target, probability = predictions(seed, n, n_present)
    true, predicted = target.argmax(axis=1), probability.argmax(axis=1)
    found = f1_scores(target, probability, SEIZURE_TYPES)
    assert found["weighted_f1"] == pytest.approx(f1_score(true, predicted, average="weighted"), abs=1e-12)
    assert found["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    by_class = f1_score(true, predicted, average=None, labels=range(8), zero_division=0)
    for name, one, present in zip(SEIZURE_TYPES, by_class, target.sum(axis=0) > 0, strict=True):
        assert found.get(f"f1_{name}") == (pytest.approx(one) if present else None)


def test_the_loss_is_cross_entropy_on_raw_logits() -> None:
    logits, classes = torch.randn(9, 8, generator=torch.manual_seed(0)), torch.arange(9) % 8
    expected = functional.cross_entropy(logits, classes, reduction="none")
    torch.testing.assert_close(kl_divergence(logits, torch.eye(8)[classes]), expected)
    measured = f1_scores(np.eye(8)[classes], logits.double().softmax(dim=1).numpy(), SEIZURE_TYPES)["cross_entropy"]
    assert measured == pytest.approx(float(expected.mean()), rel=1e-5)


def test_the_interval_holds_the_score_and_is_of_patients() -> None:
    target, probability = predictions(1, 400)
    score = f1_scores(target, probability + target, SEIZURE_TYPES)["weighted_f1"]
    many = f1_interval(target, probability + 0.5 * target, np.arange(400), seed=0)
    few = f1_interval(target, probability + 0.5 * target, np.arange(400) // 50, seed=0)
    inside = f1_scores(target, probability + 0.5 * target, SEIZURE_TYPES)["weighted_f1"]
    assert many[0] < inside < many[1] <= score
    assert few != many
    assert f1_interval(target, probability, np.zeros(400, dtype=int), seed=0)[0] == pytest.approx(
        f1_scores(target, probability, SEIZURE_TYPES)["weighted_f1"]
    )


def test_a_task_says_which_way_is_better() -> None:
    assert HMS.as_loss(0.4) == 0.4
    assert SEIZURES.as_loss(0.9) < SEIZURES.as_loss(0.8)
    assert SEIZURES.as_loss(1.0) == 0
    target, probability = predictions(2, 30)
    metrics = SEIZURES.scores(target, probability, np.zeros(30, dtype=bool))
    assert SEIZURES.value(metrics, "all") == metrics["weighted_f1"]
    assert set(SEIZURES.shown) <= metrics.keys()
