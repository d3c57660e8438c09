"""Methods that give each member a weight."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from members import distributions, noisy_members
from pydantic import ValidationError

from hms_search.ensemble.blends import LinearBlend, MeanBlend, Space, WeightedBlend, mix, softmax
from hms_search.ensemble.fit_weights import Linear, Mean, NelderMead, Weighted
from hms_search.ensemble.rows import Rows
from hms_search.errors import ConfigError
from hms_search.training.metrics import kl

SPACES: tuple[Space, ...] = ("probabilities", "logits")


def rows_of(probabilities: np.ndarray, targets: np.ndarray) -> Rows:
    return Rows(probabilities, targets, np.arange(len(targets)) // 3)


def noisy_rows(seed: int = 0) -> Rows:
    members = noisy_members(seed=seed, n_patients=40)
    return Rows(np.stack([m.probabilities for m in members]), members[0].targets, members[0].patients)


def weights_of(method: NelderMead | Linear | Weighted, rows: Rows) -> np.ndarray:
    config = method.fit(rows, seed=0).config
    assert isinstance(config, WeightedBlend | LinearBlend)
    return np.array(config.weights)


@pytest.mark.parametrize("space", SPACES)
def test_nelder_mead_finds_the_mixture_that_made_the_targets(space: Space) -> None:
    members = distributions(300, seed=0, members=4)
    truth = np.array([0.6, 0.3, 0.0, 0.1])
    found = weights_of(NelderMead(space=space), rows_of(members, mix(members, truth, space)))
    np.testing.assert_allclose(found, truth, atol=0.002)


@pytest.mark.parametrize("space", SPACES)
def test_nelder_mead_finds_the_one_good_member_among_many(space: Space) -> None:
    members = distributions(300, seed=1, members=9)
    targets = np.stack([np.random.default_rng(2).multinomial(12, q) / 12 for q in members[5]])
    found = weights_of(NelderMead(space=space), rows_of(members, targets))
    assert found.argmax() == 5
    assert found[5] > 0.95


@given(seed=st.integers(0, 10_000), n_members=st.integers(1, 5), space=st.sampled_from(SPACES))
@settings(deadline=None, max_examples=15)
def test_nelder_mead_is_never_worse_than_the_mean_on_the_rows_it_was_fitted_on(
    seed: int, n_members: int, space: Space
) -> None:
    rows = rows_of(distributions(30, seed=seed, members=n_members), distributions(30, seed=seed + 1))
    fitted, mean = (
        kl(rows.targets, method.fit(rows, seed=0).apply(rows.probabilities))
        for method in (NelderMead(space=space), Mean(space=space))
    )
    assert fitted <= mean + 1e-12


def test_nelder_mead_reaches_the_minimum_with_as_many_members_as_the_report_had() -> None:
    members = noisy_members([0.8 + 0.1 * i for i in range(15)])
    rows = Rows(np.stack([m.probabilities for m in members]), members[0].targets, members[0].patients)
    best = np.full(15, 1 / 15)
    for _ in range(4000):  # expectation-maximisation: slow and sure for a mixture of probabilities
        mixed = mix(rows.probabilities, best, "probabilities")
        best = best * (rows.probabilities * (rows.targets / mixed)).sum(axis=(1, 2)) / len(rows.targets)
    found = NelderMead().fit(rows, seed=0).apply(rows.probabilities)
    assert kl(rows.targets, found) < kl(rows.targets, mix(rows.probabilities, best, "probabilities")) + 1e-6


@pytest.mark.parametrize("method", [NelderMead(), NelderMead(space="logits"), Linear()], ids=lambda m: m.name)
def test_fitted_weights_move_with_their_members(method: NelderMead | Linear) -> None:
    rows = noisy_rows()
    order = [2, 0, 1]
    turned = Rows(rows.probabilities[order], rows.targets, rows.patients)
    np.testing.assert_allclose(weights_of(method, turned), weights_of(method, rows)[order], atol=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_nelder_mead_weights_are_shares(space: Space) -> None:
    found = weights_of(NelderMead(space=space), noisy_rows())
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found[0] == found.max()


@pytest.mark.parametrize("weights", [(0.25, 0.42, 0.33), (25.0, 42.0, 33.0)])
def test_given_weights_are_divided_by_their_sum(weights: tuple[float, ...]) -> None:
    np.testing.assert_allclose(weights_of(Weighted(weights=weights), noisy_rows()), [0.25, 0.42, 0.33], rtol=1e-12)


def test_weights_must_be_as_many_as_members_and_not_all_zero_nor_negative() -> None:
    with pytest.raises(ConfigError, match="2 weights for 3 members"):
        Weighted(weights=(0.5, 0.5)).fit(noisy_rows(), seed=0)
    for wrong, message in (((0.0, 0.0), "at least one above 0"), ((1.0, -0.5), "greater than or equal"), ((), "least")):
        with pytest.raises(ValidationError, match=message):
            Weighted(weights=wrong)


def test_linear_recovers_weights_of_any_sign_and_the_bias() -> None:
    members = distributions(400, seed=3, members=3)
    bias = np.array([0.5, -0.2, 0.1, 0.0, -0.6, 0.2])
    targets = softmax(np.tensordot([0.8, -0.3, 0.4], np.log(members), axes=1) + bias)
    blend = Linear().fit(rows_of(members, targets), seed=0).config
    assert isinstance(blend, LinearBlend)
    np.testing.assert_allclose(blend.weights, [0.8, -0.3, 0.4], atol=1e-3)
    np.testing.assert_allclose(blend.bias, bias, atol=1e-3)


def test_linear_ends_where_no_small_step_lowers_the_loss() -> None:
    rows = noisy_rows()
    blend = Linear().fit(rows, seed=0).config
    assert isinstance(blend, LinearBlend)
    least = kl(rows.targets, blend.apply(rows.probabilities))
    assert least <= kl(rows.targets, MeanBlend(space="logits").apply(rows.probabilities))
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights, bias = (tuple(np.array(old) + rng.normal(0, 0.02, len(old))) for old in (blend.weights, blend.bias))
        assert kl(rows.targets, LinearBlend(weights=weights, bias=bias).apply(rows.probabilities)) > least


def test_the_biases_of_linear_sum_to_zero_and_tell_of_classes_that_members_neglect() -> None:
    members = distributions(300, seed=4, members=2)
    targets = softmax(np.log(members[0]) + np.array([1.0, 0, 0, 0, 0, 0]))
    blend = Linear().fit(rows_of(members, targets), seed=0).config
    assert isinstance(blend, LinearBlend)
    assert sum(blend.bias) == pytest.approx(0, abs=1e-12)
    assert np.argmax(blend.bias) == 0


@pytest.mark.parametrize(
    "method", [Mean(), Weighted(weights=(1, 2, 3)), NelderMead(), Linear()], ids=lambda method: method.name
)
def test_the_same_rows_give_the_same_blend(method: Mean | Weighted | NelderMead | Linear) -> None:
    assert method.fit(noisy_rows(), seed=0) == method.fit(noisy_rows(), seed=0)
