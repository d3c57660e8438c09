"""The stacking network: what it can learn, and what it must not."""

import numpy as np
import pytest
import torch
from members import distributions
from scipy.special import softmax
from scipy.stats import entropy

from hms_search.ensemble.blends import FittedBlend
from hms_search.ensemble.fit_stacking import Stacking, stacking_loss
from hms_search.ensemble.rows import Rows
from hms_search.errors import DataError
from hms_search.training.metrics import kl

SMALL = Stacking(hidden=(64, 64), epochs=60, batch_size=32)


def confident_rows() -> Rows:
    """The class is certain, and told by the members' largest probability."""
    members = distributions(300, seed=0, members=1).repeat(3, axis=0)
    return Rows(members, np.eye(6)[members[0].argmax(axis=1)], np.arange(300) // 3)


def fingerprinted_rows() -> Rows:
    """The members know nothing of the targets, but the rows of a patient are alike."""
    patients = np.repeat(np.arange(60), 5)
    members = distributions(60, seed=1, members=3)[:, patients]
    return Rows(members, np.eye(6)[np.random.default_rng(2).integers(0, 6, 60)][patients], patients)


def score(blend: FittedBlend, rows: Rows) -> float:
    return kl(rows.targets, blend.apply(rows.probabilities))


def prior_score(rows: Rows) -> float:
    return kl(rows.targets, rows.targets.mean(axis=0, keepdims=True).repeat(len(rows.targets), axis=0))


def test_a_stacking_network_can_be_certain_which_a_second_softmax_would_forbid() -> None:
    rows = confident_rows()
    assert score(SMALL.fit(rows, seed=0), rows) < 0.2  # two would leave -ln(e / (e + 5)) = 1.04 at the least


def test_the_loss_is_cross_entropy_plus_divergence_with_the_votes_first() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (40, 6))
    target = distributions(40, seed=1)
    loss = stacking_loss(torch.from_numpy(logits), torch.from_numpy(target), 2.0).item()
    q = softmax(logits, axis=1)
    assert loss == pytest.approx(np.mean(entropy(target, axis=1) + 3 * entropy(target, q, axis=1)))


def test_a_class_that_nobody_votes_for_costs_nothing_and_fades() -> None:
    rows = confident_rows()
    rows = rows.only(rows.targets[:, 5] == 0)
    blended = SMALL.fit(rows, seed=0).apply(rows.probabilities)
    assert np.isfinite(blended).all()
    assert blended[:, 5].mean() < 0.02


def test_the_same_seed_trains_the_same_network_and_another_seed_another() -> None:
    rows = confident_rows()
    method = Stacking(hidden=(16,), epochs=3)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, again, other = method.fit(rows, seed=0), method.fit(rows, seed=0), method.fit(rows, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    for name, value in first.tensors.items():
        assert torch.equal(value, again.tensors[name])
        assert not torch.equal(value, other.tensors[name])


def test_training_stops_before_patients_are_memorised_because_others_say_when() -> None:
    rows = fingerprinted_rows()
    eager = Stacking(hidden=(128, 128), epochs=120, lr=3e-3, batch_size=32)
    honest = score(eager.fit(rows, seed=0), rows)
    shared = Rows(rows.probabilities, rows.targets, np.arange(len(rows.patients)))  # a patient on both sides
    memorised = score(eager.fit(shared, seed=0), shared)
    assert memorised < 0.3 * prior_score(rows)
    assert honest > 0.6 * prior_score(rows)


def test_the_best_epoch_is_kept_and_not_the_last() -> None:
    rows = fingerprinted_rows()  # on which it only gets worse after the first epochs
    fits = [
        Stacking(hidden=(64, 64), epochs=epochs, patience=patience, batch_size=32).fit(rows, seed=0)
        for epochs, patience in ((60, 60), (50, 60), (60, 5))
    ]
    for name, value in fits[0].tensors.items():
        assert all(torch.equal(value, other.tensors[name]) for other in fits[1:])


def test_rows_of_two_patients_are_enough_and_of_one_are_not() -> None:
    rows = confident_rows()
    SMALL.fit(rows.only(rows.patients < 2), seed=0)
    with pytest.raises(DataError, match="of 1 patients"):
        SMALL.fit(rows.only(rows.patients < 1), seed=0)


def test_the_defaults_are_the_reports() -> None:
    method = Stacking()
    assert method.hidden == (600, 1200, 1000, 600)
    assert (method.kl_weight, method.lr, method.batch_size) == (2, 1e-3, 64)
    assert (method.epochs, method.patience) == (80, 20)
