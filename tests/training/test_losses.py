import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from torch.nn import functional

from hms_search.models.heads import Heads
from hms_search.training.losses import divergence, kl_divergence


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 9), spread=st.floats(0.1, 30))
@settings(deadline=None)
def test_the_loss_is_scipys_relative_entropy_of_votes_to_softmax(seed: int, rows: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    votes = rng.integers(0, 5, (rows, 6)) + np.eye(6, dtype=int)[rng.integers(0, 6, rows)]
    target = votes / votes.sum(axis=1, keepdims=True)
    logits = rng.normal(0, spread, (rows, 6))
    loss = kl_divergence(torch.from_numpy(logits), torch.from_numpy(target))
    np.testing.assert_allclose(loss, rel_entr(target, softmax(logits, axis=1)).sum(axis=1), rtol=1e-9)


def test_the_mean_over_rows_is_pytorchs_batchmean_and_not_its_mean() -> None:
    logits, target = torch.randn(8, 6), torch.softmax(torch.randn(8, 6), dim=1)
    expected = functional.kl_div(logits.log_softmax(1), target, reduction="batchmean")
    torch.testing.assert_close(kl_divergence(logits, target).mean(), expected)


def test_the_gradient_is_the_softmax_minus_the_target_even_where_a_class_has_no_vote() -> None:
    logits = torch.randn(4, 6, requires_grad=True)
    target = torch.eye(6)[:4]
    kl_divergence(logits, target).sum().backward()
    torch.testing.assert_close(logits.grad, logits.softmax(1) - target)


def test_half_precision_logits_are_scored_in_single_precision() -> None:
    assert kl_divergence(torch.randn(2, 6).half(), torch.eye(6)[:2]).dtype == torch.float32


def test_the_loss_of_several_heads_is_the_weighted_sum_of_their_divergences() -> None:
    main, one, other = torch.randn(3, 4, 6)
    target = torch.softmax(torch.randn(4, 6), dim=1)
    expected = 0.7 * kl_divergence(main, target) + 0.2 * kl_divergence(one, target) + 0.1 * kl_divergence(other, target)
    torch.testing.assert_close(divergence(Heads(main, (one, other), (0.7, 0.2, 0.1)), target), expected)
    torch.testing.assert_close(divergence(main, target), kl_divergence(main, target), rtol=0, atol=0)
    half = divergence(Heads(main.bfloat16(), (one.bfloat16(),), (0.5, 0.5)), target)
    assert half.dtype == torch.float32
