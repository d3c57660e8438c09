"""Training of a network that returns several heads."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hms_search.models.heads import Heads
from hms_search.training.config import TrainingConfig
from hms_search.training.results import FoldResult, Slot
from hms_search.training.trainer import fit

TRAIN, VALIDATION = np.arange(36), np.arange(36, 48)


class TwoHeads(nn.Module):
    """A linear network; its second head says the same as the first, or only what it has learned itself."""

    def __init__(self, weights: tuple[float, float] | None, *, agree: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights, self.agree = weights, agree
        self.main, self.other = nn.LazyLinear(6), nn.LazyLinear(6)

    def forward(self, x: Tensor) -> Tensor | Heads:
        features = x[:, :, ::4, ::4].flatten(1)
        main, other = self.main(features), self.other(features)
        if self.weights is None or not self.training:
            return main
        return Heads(main, (main if self.agree else other,), self.weights)


def trained(store, batches, network: nn.Module, amp: str = "off") -> FoldResult:
    config = TrainingConfig.model_validate({"epochs": 2, "batch_size": 8, "amp": amp})
    network(torch.zeros(2, 1, 32, 32))
    return fit(network, batches(store, TRAIN, seed=1), batches(store, VALIDATION), config, slot=Slot(0, seed=1))


@pytest.mark.parametrize("amp", ["off", "bfloat16"])
def test_heads_that_say_the_same_are_trained_as_one(store, batches, amp: str) -> None:
    one, two = (trained(store, batches, TwoHeads(weights), amp) for weights in (None, (0.75, 0.25)))
    losses = [[epoch.train_loss for epoch in result.epochs] for result in (one, two)]
    tolerance = 1e-5 if amp == "off" else 1e-3
    np.testing.assert_allclose(*losses, atol=tolerance)
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=tolerance)


def test_the_reported_loss_is_the_weighted_sum_and_the_value_the_main_heads(store, batches) -> None:
    alone = trained(store, batches, TwoHeads(None))
    apart = trained(store, batches, TwoHeads((1.0, 0.5), agree=False))
    np.testing.assert_allclose(apart.probabilities, alone.probabilities, atol=1e-5)  # it learns for itself
    assert apart.value == pytest.approx(alone.value)
    assert apart.epochs[0].train_loss > 1.2 * alone.epochs[0].train_loss
