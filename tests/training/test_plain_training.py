"""What fit() does with the default options, and with weights, against a loop written out by hand."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hms_search.training.config import TrainingConfig
from hms_search.training.losses import kl_divergence
from hms_search.training.results import Slot
from hms_search.training.trainer import fit

TRAIN, VALIDATION = np.arange(36), np.arange(36, 48)
EPOCHS, SEED = 3, 5


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(196, 6))


def by_hand(model, batches, store, weigh):
    """Shuffled by one seeded generator, AdamW and a cosine of the rate: the baseline notebook's loop."""
    model.to(memory_format=torch.channels_last)
    images = next(iter(batches(store, np.arange(48), batch_size=48))).x
    targets = torch.from_numpy(store.targets.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.5, 0.999), weight_decay=0.01)
    shuffle, losses = torch.Generator().manual_seed(SEED), []
    model.train()
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2
        order, total = torch.randperm(36, generator=shuffle), 0.0
        for rows in torch.split(order, 8):
            loss = weigh(kl_divergence(model(images[rows]), targets[rows]), rows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        losses.append(total / 36)
    return losses


def votes_of(store, rows):
    return torch.from_numpy(store.votes.sum(axis=1)[rows.numpy()])


@pytest.mark.parametrize("how", ["none", "linear"])
def test_fit_equals_a_loop_written_by_hand_to_the_last_bit(store, batches, how):
    def weigh(kl, rows):
        if how == "none":
            return kl.mean()
        return ((votes_of(store, rows) / 20).float() * kl).sum() / len(rows)

    config = TrainingConfig.model_validate({"epochs": EPOCHS, "batch_size": 8, "weights": {"name": how}})
    ours = network()
    theirs = copy.deepcopy(ours)
    result = fit(
        ours,
        batches(store, TRAIN, seed=SEED, config=config),
        batches(store, VALIDATION),
        config,
        slot=Slot(0, seed=SEED),
    )
    losses = by_hand(theirs, batches, store, weigh)
    exact = how == "none"
    assert [epoch.train_loss for epoch in result.epochs] == (losses if exact else pytest.approx(losses, rel=1e-5))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0 if exact else 1e-4, atol=0 if exact else 1e-5)


def test_validation_is_never_weighed(store, batches):
    values = {}
    for name in ("none", "linear"):
        config = TrainingConfig.model_validate(
            {"epochs": 1, "weights": {"name": name}, "optimiser": {"name": "sgd", "lr": 1e-12, "momentum": 0.0}}
        )
        train = batches(store, TRAIN, seed=0, config=config)
        values[name] = fit(network(), train, batches(store, VALIDATION), config, slot=Slot(0)).epochs[0]
    assert values["linear"].value == pytest.approx(values["none"].value, rel=1e-6)
    assert values["linear"].train_loss < 0.6 * values["none"].train_loss
