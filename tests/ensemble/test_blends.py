"""Applying blends: what every blend keeps, and what each of them is."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from members import distributions
from pydantic import TypeAdapter
from scipy.stats import gmean

from hms_search.ensemble.blends import (
    Blend,
    FittedBlend,
    LinearBlend,
    MeanBlend,
    StackingBlend,
    WeightedBlend,
    statistics_of,
)
from hms_search.errors import CheckpointError, ConfigError

BIAS = (0.0125, 0.0346, 0.0176, 0.0596, -0.0261, -0.0982)


def stacking(*hidden: int) -> FittedBlend:
    blend = StackingBlend(hidden=hidden)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FittedBlend(blend, dict(blend.build().state_dict()))


BLENDS = [
    pytest.param(blend, id=f"{blend.config.name}-{getattr(blend.config, 'space', '')}")
    for blend in (
        FittedBlend(MeanBlend()),
        FittedBlend(MeanBlend(space="logits")),
        FittedBlend(WeightedBlend(weights=(0.25, 0.42, 0.33))),
        FittedBlend(WeightedBlend(weights=(0.25, 0.42, 0.33), space="logits")),
        FittedBlend(LinearBlend(weights=(0.7, -0.1, 0.6), bias=BIAS)),
        stacking(16, 8),
    )
]


@pytest.mark.parametrize("blend", BLENDS)
def test_a_blend_makes_distributions_even_of_certain_and_of_equal_members(blend: FittedBlend) -> None:
    certain = np.eye(6)[np.random.default_rng(0).integers(0, 6, (3, 20))]
    for members in (distributions(20, seed=0, members=3), certain, np.full((3, 4, 6), 1 / 6)):
        blended = blend.apply(members)
        assert blended.shape == members.shape[1:]
        assert blended.dtype == np.float64
        assert np.isfinite(blended).all()
        assert (blended >= 0).all()
        np.testing.assert_allclose(blended.sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("blend", BLENDS)
def test_a_row_is_blended_the_same_alone_and_among_others(blend: FittedBlend) -> None:
    members = distributions(9, seed=1, members=3)
    together = blend.apply(members)
    alone = np.concatenate([blend.apply(members[:, [row]]) for row in range(9)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-6)
    assert blend.apply(members[:, :0]).shape == (0, 6)


@pytest.mark.parametrize("blend", BLENDS)
def test_a_blend_survives_the_way_through_json(blend: FittedBlend) -> None:
    restored = TypeAdapter(Blend).validate_json(json.dumps(blend.config.to_dict()))
    members = distributions(5, seed=2, members=3)
    np.testing.assert_array_equal(FittedBlend(restored, blend.tensors).apply(members), blend.apply(members))


def test_the_mean_of_logits_is_the_normalised_geometric_mean() -> None:
    members = distributions(30, seed=3, members=4)
    geometric = gmean(members, axis=0)
    expected = geometric / geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(MeanBlend(space="logits").apply(members), expected, rtol=1e-9)


def test_a_member_of_all_the_weight_is_the_blend_and_equal_weights_are_the_mean() -> None:
    members = distributions(30, seed=4, members=3)
    for space in ("probabilities", "logits"):
        one = WeightedBlend(weights=(0.0, 1.0, 0.0), space=space).apply(members)
        np.testing.assert_allclose(one, members[1], rtol=0, atol=1e-12)
        equal = WeightedBlend(weights=(1 / 3, 1 / 3, 1 / 3), space=space).apply(members)
        np.testing.assert_allclose(equal, MeanBlend(space=space).apply(members), rtol=0, atol=1e-12)


def test_a_linear_blend_without_bias_is_the_weighted_mean_of_logits() -> None:
    members = distributions(30, seed=5, members=2)
    linear = LinearBlend(weights=(0.3, 0.7), bias=(0.0,) * 6).apply(members)
    np.testing.assert_allclose(linear, WeightedBlend(weights=(0.3, 0.7), space="logits").apply(members), atol=1e-12)
    biased = LinearBlend(weights=(0.3, 0.7), bias=BIAS).apply(members)
    ratio = np.log(biased / linear)
    np.testing.assert_allclose(ratio - ratio[:, :1], np.subtract(BIAS, BIAS[0])[None].repeat(30, 0), atol=1e-9)


@given(seed=st.integers(0, 1000), n_members=st.integers(1, 7))
@settings(deadline=None, max_examples=25)
def test_the_order_of_members_does_not_matter_where_it_should_not(seed: int, n_members: int) -> None:
    members = distributions(8, seed=seed, members=n_members)
    order = np.random.default_rng(seed).permutation(n_members)
    weights = np.random.default_rng(seed + 1).dirichlet(np.ones(n_members))
    for space in ("probabilities", "logits"):
        straight, turned = (
            WeightedBlend(weights=tuple(w), space=space).apply(q)
            for w, q in ((weights, members), (weights[order], members[order]))
        )
        np.testing.assert_allclose(straight, turned, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            MeanBlend(space=space).apply(members), MeanBlend(space=space).apply(members[order]), rtol=0, atol=1e-12
        )
    network = stacking(16)
    np.testing.assert_allclose(network.apply(members), network.apply(members[order]), rtol=0, atol=1e-6)


def test_the_statistics_are_max_min_mean_std_and_median_of_each_class() -> None:
    members = np.zeros((4, 1, 6))
    members[:, 0, 2] = [0.1, 0.2, 0.4, 0.9]
    named = dict(zip(("max", "min", "mean", "std", "median"), statistics_of(members).reshape(5, 6), strict=True))
    found = {name: value[2] for name, value in named.items()}
    std = math.sqrt(np.mean(np.square(np.array([0.1, 0.2, 0.4, 0.9]) - 0.4)))
    assert found == pytest.approx({"max": 0.9, "min": 0.1, "mean": 0.4, "std": std, "median": 0.3})
    assert all((np.delete(value, 2) == 0).all() for value in named.values())


def test_a_single_member_has_no_spread_and_is_its_own_mean() -> None:
    only = distributions(7, seed=6, members=1)
    highest, lowest, mean, std, median = np.split(statistics_of(only), 5, axis=1)
    for same in (highest, lowest, mean, median):
        np.testing.assert_array_equal(same, only[0])
    np.testing.assert_array_equal(std, 0)


def test_a_stacking_blend_takes_one_softmax_of_the_networks_logits() -> None:
    blend = stacking(16, 8)
    members = distributions(10, seed=7, members=3)
    network = StackingBlend(hidden=(16, 8)).build()
    network.load_state_dict(blend.tensors)
    logits = network(torch.from_numpy(statistics_of(members)).float())
    np.testing.assert_allclose(blend.apply(members), logits.double().softmax(dim=1).detach(), rtol=0, atol=1e-12)


def test_applying_a_blend_leaves_the_random_state_alone() -> None:
    blend, members = stacking(16), distributions(4, seed=8, members=2)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    blend.apply(members)
    assert torch.equal(before, torch.random.get_rng_state())


def test_members_that_are_missing_and_foreign_weights_are_refused() -> None:
    members = distributions(4, seed=9, members=2)
    for blend in (WeightedBlend(weights=(0.2, 0.3, 0.5)), LinearBlend(weights=(0.2, 0.3, 0.5), bias=BIAS)):
        with pytest.raises(ConfigError, match="3 weights, there are 2 members"):
            FittedBlend(blend).apply(members)
    with pytest.raises(CheckpointError, match="do not fit"):
        FittedBlend(StackingBlend(hidden=(8,)), stacking(16).tensors).apply(members)
